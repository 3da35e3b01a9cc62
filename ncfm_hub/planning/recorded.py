"""The recipe of a finished distilled dataset as the recipe of a new run: `--dataset` may name its pipeline.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError, PipelineError
from ncfm_hub.publishing.dataset.layout import PIPELINE
from ncfm_hub.publishing.dataset.loading import find_at, split_target
from ncfm_hub.publishing.dataset.provenance import recipe_of
from ncfm_hub.publishing.dataset.records import read_record
from ncfm_hub.recipes.resolve import ResolvedPipeline, change_recipe, resolve
from ncfm_hub.utils.mappings import read_mapping
from ncfm_hub.utils.named import Named, text_of
from ncfm_hub.utils.slugs import slug

_LONGEST = 60  # characters of a name that a stranger's file gives


def resolve_named(
    dataset: Named, preset: str | None, overrides: Mapping[str, Any] | None, token: str | None
) -> ResolvedPipeline:
    """Resolve `dataset` for this machine's device, or to the recipe that a finished distilled dataset records.

    dataset: as `resolve` takes it, or the pipeline.yaml of a distilled dataset: a file, or `owner/name/ipc10@REV` for
        that of a repository at a branch, tag or commit. Its source is at the recorded revision
    Raises PipelineError for a preset beside such a recipe, which is complete.
    """
    record = _record_of(text_of(dataset), token)
    if record is None:
        return resolve(dataset, preset, overrides)
    if preset is not None:
        raise PipelineError(f"{record} holds every setting, so --preset has no effect; override single ones with --set")
    return recorded_pipeline(record, overrides)


def recorded_pipeline(file: Path, overrides: Mapping[str, Any] | None) -> ResolvedPipeline:
    """Return the recipe recorded in a pipeline.yaml, with single settings changed.

    Raises DistilledError if it records none, or one that this version cannot read.
    """
    try:
        described = read_record(file)
    except FileNotFoundError:
        raise DistilledError(f"{file}: there is no such file, so this is no dataset made by ncfm-hub") from None
    if "imported" in described:
        raise DistilledError(f"{file} is of an imported dataset, and the recipe that made it is unknown")
    recipe = recipe_of(described, file)
    name, preset = (slug(str(described.get(key)))[:_LONGEST] for key in ("name", "preset"))
    by = (str(file), *(["command line"] if overrides else []))
    return ResolvedPipeline(name, preset, change_recipe(recipe, overrides or {}), by)


def _record_of(dataset: str, token: str | None) -> Path | None:
    """Return the pipeline.yaml that `dataset` names; None if it names anything else."""
    path = Path(dataset).expanduser()
    if dataset.endswith((".yaml", ".yml")):
        return path if _is_record(path) else None
    repo_id, at, _ = dataset.partition("@")
    if not at or path.exists() or dataset.startswith((".", "/", "~")) or split_target(repo_id)[0] is None:
        return None
    return find_at(dataset, token=token).folder / PIPELINE


def _is_record(path: Path) -> bool:
    """Return whether a file is what a run recorded; what is wrong with any other file is found by its own reader."""
    try:
        return {"ncfm_hub", "recipe"} <= read_mapping(path, "YAML").keys()
    except (FileNotFoundError, DistilledError):
        return False
