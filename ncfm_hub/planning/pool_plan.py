"""Plan the training of an extractor pool before it starts: source, networks, cost and target repository."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.planning.announcing import UNTRAINED, extractors_of
from ncfm_hub.planning.plan import coming, images_used
from ncfm_hub.planning.plan_lines import source_lines, target_line
from ncfm_hub.planning.recorded import resolve_named
from ncfm_hub.planning.work_folder import check_for_copy
from ncfm_hub.recipes.resolve import ResolvedPipeline
from ncfm_hub.sources import SourceInfo, inspect_source
from ncfm_hub.utils.commit_options import ON_MAIN, CommitOptions
from ncfm_hub.utils.named import Named, path_of, text_of


@dataclass(frozen=True)
class PoolPlan:
    """A planned extractor pool, as `plan_pool` returns it.

    pool: architecture, members, cached, origin
    minutes: estimated; 0 if the pool is cached, None if unknown
    output: folder it is copied to; None if it stays in the cache
    repo_id: repository to push to; None if not pushed
    commit: how the commit of the push is made
    """

    pipeline: ResolvedPipeline
    source: SourceInfo
    pool: dict[str, Any]
    minutes: float | None
    output: Path | None
    repo_id: str | None
    commit: CommitOptions

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as `--format json` prints it."""
        return {
            "pipeline": self.pipeline.name,
            "preset": self.pipeline.preset,
            "source": asdict(self.source),
            "pool": self.pool,
            "minutes": self.minutes,
            "output": None if self.output is None else str(self.output),
            "repo_id": self.repo_id,
            "commit": asdict(self.commit) if self.repo_id else None,
            "recipe": self.pipeline.recipe.model_dump(),
        }

    def lines(self) -> list[str]:
        """Return the plan as text, one line per item."""
        return [
            *source_lines(self.pipeline, self.source),
            f"pool       {self.pool['members']} x {self.pool['architecture']}, {self.pool['origin']}",
            f"estimate   {'unknown' if self.minutes is None else f'{self.minutes:.1f} min'}",
            f"folder     {self.output or 'its entry in the cache'}",
            target_line(self.repo_id, self.commit),
        ]


@reproducible()
def plan_pool(
    dataset: Named,
    *,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    output: Named | None = None,
    push: bool = False,
    repo_id: str | None = None,
    private: bool = False,
    replace: bool = False,
    commit: CommitOptions = ON_MAIN,
    token: str | None = None,
    pool: Named | None = None,
) -> PoolPlan:
    """Return what `pretrain` would do with the same arguments, without doing it.

    `lines()` of the result formats it as text, `as_dict()` as plain data.
    Raises the errors that can be known before the work starts.
    """
    from ncfm_hub.machine.engine import open_engine
    from ncfm_hub.planning.cost import pool_minutes

    pipeline, output = resolve_named(dataset, preset, overrides, token), path_of(output)
    source = inspect_source(pipeline.recipe.source, token=token, test="if there")
    if output is not None:
        check_for_copy(output)
    how: dict[str, Any] = {"repo_id": repo_id, "private": private, "replace": replace, "commit": commit, "token": token}
    target = pool_repository(pipeline, source, **how) if push else None
    asked = pipeline.recipe.engine
    engine = open_engine(asked.precision, asked.compile, build=False, device=asked.device)
    place = text_of(pool) if pool is not None else pipeline.recipe.pool.use
    extractor, described = extractors_of(pipeline.recipe, source, place, token, engine, pipeline.name)
    images = images_used(source, source.train_examples)
    minutes: float | None = 0.0
    if described["origin"] == UNTRAINED:
        minutes = None if images is None else pool_minutes(pipeline.recipe.pool, extractor, images, engine)
    return PoolPlan(pipeline, source, described, minutes, output, target, commit)


def pool_repository(
    pipeline: ResolvedPipeline,
    source: SourceInfo,
    *,
    repo_id: str | None,
    private: bool,
    replace: bool,
    commit: CommitOptions,
    token: str | None,
) -> str:
    """Return the repository that a pool of `source` is pushed to. Raises the errors of `check_can_push`."""
    from ncfm_hub.extractors.published import pool_repo_name
    from ncfm_hub.publishing import check_can_push

    return check_can_push(
        repo_id,
        token=token,
        default_name=pool_repo_name(pipeline.name),
        repo_type="model",
        private=private,
        coming=coming(source),
        replace=replace,
        commit=commit,
    )
