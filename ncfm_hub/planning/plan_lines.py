"""Lines that plans of runs and of extractor pools share."""

from ncfm_hub.recipes.resolve import ResolvedPipeline
from ncfm_hub.sources import SourceInfo
from ncfm_hub.utils.commit_options import CommitOptions


def source_lines(pipeline: ResolvedPipeline, source: SourceInfo) -> list[str]:
    """Return what is read, as text, one line per item."""
    names = source.class_names
    place = source.dataset if source.is_local else f"{source.dataset} @ {(source.revision or '')[:12]}"
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return [
        f"pipeline   {pipeline.name} (preset {pipeline.preset})",
        f"source     {place}, config {source.config}, {source.train_split} -> "
        f"{source.test_split or 'nothing is measured'}",
        f"columns    {source.image_column} (images), {source.label_column} (labels)",
        f"classes    {len(names)}: {shown}",
    ]


def target_line(repo_id: str | None, commit: CommitOptions) -> str:
    """Return where the result is pushed, as text."""
    return f"push to    {', '.join(filter(None, [repo_id, str(commit)])) if repo_id else 'nowhere (no --push)'}"
