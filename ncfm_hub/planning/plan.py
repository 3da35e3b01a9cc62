"""Plan a run before it starts: source, classes, extractor pool, cost and target repository."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError, PipelineError
from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.planning.announcing import UNTRAINED, extractors_of, published_in, student_network
from ncfm_hub.planning.appending import Addition, plan_addition, refuse_with_append
from ncfm_hub.planning.plan_lines import source_lines, target_line
from ncfm_hub.planning.recorded import resolve_named
from ncfm_hub.publishing.dataset.folders import check_beside
from ncfm_hub.publishing.dataset.names import check_name, default_name, default_repo_name
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.publishing.hub.held import Held
from ncfm_hub.recipes.resolve import ResolvedPipeline
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources import SourceInfo, TestSplit, inspect_source, planned_validation, test_split_needed
from ncfm_hub.utils.commit_options import ON_MAIN, CommitOptions
from ncfm_hub.utils.named import NONE, Named, path_of, text_of

if TYPE_CHECKING:
    from ncfm_hub.machine.engine import Engine
    from ncfm_hub.networks.build import Architecture


@dataclass(frozen=True)
class Plan:
    """A planned run, as `plan` returns it.

    output: folder that will hold the result, in a directory named `name`
    name: directory and configuration of the distilled dataset
    default: the distilled dataset that is loaded where none is named; None for the first
    repo_id: repository to push to; None if not pushed
    private: create that repository as private
    replace: replace what is there under that name
    commit: how the commit of the push is made
    pool: architecture, members, cached, origin
    cost: estimated minutes by stage; None if unknown
    no_cost: why the cost is unknown; None if it is known
    extractors: folder of the pool, or Hub repository and commit; None if it is trained or taken from the cache, "none"
        if it must be one trained here
    published: repository and commit of a pool trained with the same settings, which is pulled if the cache has none
    validation: evaluate on a part of the training split and leave the test split unread
    device: where it is computed, and where the source images lie
    addition: the classes to append and the dataset they are added to; `source` covers the classes of both
    """

    pipeline: ResolvedPipeline
    source: SourceInfo
    output: Path
    name: str
    default: str | None
    repo_id: str | None
    private: bool
    replace: bool
    commit: CommitOptions
    pool: dict[str, Any]
    cost: dict[str, float | None]
    no_cost: str | None
    extractors: str | None
    published: str | None
    validation: bool
    device: str
    addition: Addition | None = None

    @property
    def ipc(self) -> int:
        """Stored images per class."""
        assert self.pipeline.recipe.distillation.ipc is not None
        return self.pipeline.recipe.distillation.ipc

    @property
    def place(self) -> SetPlace:
        """Where the distilled dataset will lie."""
        return SetPlace(self.output, self.name)

    @property
    def test(self) -> TestSplit:
        """How the run uses the source's test split."""
        return test_split_needed(self.pipeline.recipe.evaluation.students, self.validation)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as `--format json` prints it."""
        return {
            "pipeline": self.pipeline.name,
            "preset": self.pipeline.preset,
            "described_by": list(self.pipeline.described_by),
            "source": asdict(self.source),
            "classes": len(self.source.class_names),
            "append": {"to": self.addition.target, "new": list(self.addition.new)} if self.addition else None,
            "ipc": self.ipc,
            "seed": self.pipeline.recipe.distillation.seed,
            "pool": self.pool,
            "output": str(self.output),
            "name": self.name,
            "repo_id": self.repo_id,
            "commit": asdict(self.commit) if self.repo_id else None,
            "device": self.device,
            "cost": self.cost,
            "no_cost": self.no_cost,
            "recipe": self.pipeline.recipe.model_dump(),
        }

    def lines(self) -> list[str]:
        """Return the plan as text, one line per item."""
        return [
            *self.work_lines(),
            f"folder     {self.place.folder}",
            target_line(self.repo_id, self.commit),
        ]

    def work_lines(self) -> list[str]:
        """Return what is computed, one line per item."""
        source = self.source
        return [
            *source_lines(self.pipeline, source),
            *([f"adding     {', '.join(self.addition.new)} to {self.addition.target}"] if self.addition else []),
            f"images     {source.channels} x {source.resolution} x {source.resolution} px, {self.ipc} stored per class",
            f"pool       {self.pool['members']} x {self.pool['architecture']}, {self.pool['origin']}",
            f"steps      {self.pipeline.recipe.distillation.steps}",
            f"device     {self.device}",
            f"estimate   {self._estimate()}",
        ]

    def _estimate(self) -> str:
        minutes = {stage: round(value, 1) for stage, value in self.cost.items() if value is not None}
        if "total_minutes" not in minutes:
            return f"unknown: {self.no_cost}"
        return (
            f"{minutes['total_minutes']} min (pool {minutes['pool_minutes']}, distillation "
            f"{minutes['distill_minutes']}, evaluation {minutes['evaluate_minutes']})"
        )


@reproducible()
def plan(
    dataset: Named,
    ipc: int | None = None,
    *,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int | None = None,
    output: Named | None = None,
    name: str | None = None,
    default: str | None = None,
    push: bool = False,
    repo_id: str | None = None,
    private: bool = False,
    replace: bool = False,
    commit: CommitOptions = ON_MAIN,
    token: str | None = None,
    pool: Named | None = None,
    append: Named | None = None,
    validation: bool = False,
) -> Plan:
    """Return what `distill` would do with the same arguments, without doing it.

    Arguments are those of `distill`. The result has the settings, the estimated minutes by stage and the target
    repository; `lines()` formats it as text, `as_dict()` as plain data.
    Raises the errors that can be known before the work starts.
    """
    from ncfm_hub.machine.engine import open_engine
    from ncfm_hub.machine.placement import describe_placement

    output, pool, append = path_of(output), text_of(pool), text_of(append)
    given = {"distillation.ipc": ipc, "distillation.seed": seed}
    overrides = {**(overrides or {}), **{key: value for key, value in given.items() if value is not None}}
    pipeline = resolve_named(dataset, preset, overrides, token)
    addition = None
    if append is not None:
        refuse_with_append(preset, validation)
        addition = plan_addition(append, output, name, pipeline, overrides, token)
        pipeline = addition.pipeline
    ipc = _checked(pipeline.recipe)
    needed = test_split_needed(pipeline.recipe.evaluation.students, validation)
    source = inspect_source(pipeline.recipe.source, token=token, test=needed)
    pipeline = _at_revision(pipeline, source.revision)
    if validation:
        source = planned_validation(source)
    repo_name = default_repo_name(pipeline.name)
    name = check_name(name or (addition and addition.place.name) or default_name(ipc))
    output = output or Path(f"{repo_name}-{len(source.class_names)}-classes" if addition else repo_name)
    check_beside(SetPlace(output, name), source.public_name)
    if default not in (None, name) and not push and not SetPlace(output, default).finished:
        raise DistilledError(f"--default {default!r} is neither {name} nor in {str(output)!r}; name one that is there")
    target = None
    if push:
        from ncfm_hub.publishing import check_can_push

        wanted = repo_id or (addition.repo_id if addition else None)
        target = check_can_push(
            wanted,
            token=token,
            default_name=repo_name,
            private=private,
            coming=coming(source, ipc=ipc, added_to=addition.repo_id if addition else None),
            name=name,
            replace=replace,
            commit=commit,
        )
    asked = pipeline.recipe.engine
    engine = open_engine(asked.precision, asked.compile, build=False, device=asked.device)
    pool = pool if pool is not None else pipeline.recipe.pool.use
    extractor, described = extractors_of(pipeline.recipe, source, pool, token, engine, pipeline.name)
    _check_students(pipeline.recipe, source)
    ready = described["origin"] != UNTRAINED
    estimated = _cost(pipeline.recipe, source, extractor, ready, engine, addition)
    place = pool if pool in (None, NONE) else described["origin"]  # includes the commit if the pool is on a Hub
    device = describe_placement(_image_bytes(source), engine)
    minutes, no_cost = estimated
    return Plan(
        pipeline=pipeline,
        source=source,
        output=output,
        name=name,
        default=default,
        repo_id=target,
        private=private,
        replace=replace,
        commit=commit,
        pool=described,
        cost=minutes,
        no_cost=no_cost,
        extractors=place,
        published=published_in(described, pool),
        validation=validation,
        device=device,
        addition=addition,
    )


def coming(source: SourceInfo, *, ipc: int | None = None, added_to: str | None = None) -> Held:
    """Return what a repository will hold: a distilled dataset of `source`, or a pool if no ipc is given."""
    on_hub = not source.is_local
    return Held(source.public_name, on_hub, source.fingerprint, source.class_names, ipc=ipc, added_to=added_to)


def _at_revision(pipeline: ResolvedPipeline, revision: str | None) -> ResolvedPipeline:
    """Pin the source to the inspected commit, since a branch name may point to another one later."""
    if revision is None:
        return pipeline
    source = pipeline.recipe.source.model_copy(update={"revision": revision})
    return replace(pipeline, recipe=pipeline.recipe.model_copy(update={"source": source}))


def _checked(recipe: Recipe) -> int:
    """Return the recipe's IPC. Raises PipelineError if it has none, or if settings do not work together."""
    from ncfm_hub.matching.frequencies import PER_COMPONENT

    resolution, values = recipe.source.resolution, recipe.distillation
    if values.ipc is None:
        raise PipelineError(
            "the number of stored images per class is missing; give it by --ipc, or as `ipc` in the section "
            "`distillation` of a pipeline file"
        )
    if resolution % values.factor:
        raise PipelineError(
            f"distillation.factor {values.factor} does not divide source.resolution {resolution}: "
            "stored images are tilings of whole tiles"
        )
    if values.sampling_network and values.bank:
        raise PipelineError(
            f"distillation.bank {values.bank} keeps statistics at fixed frequencies, and distillation.sampling_network "
            "learns them; turn one of the two off (bank: null, or --no-sampling-network)"
        )
    if values.sampling_network and values.matching != "characteristic":
        raise PipelineError(
            f"distillation.matching {values.matching!r} has no frequencies, which distillation.sampling_network "
            "learns; turn it off (--no-sampling-network)"
        )
    if values.sampling_network and values.frequencies % PER_COMPONENT:
        raise PipelineError(
            f"distillation.frequencies {values.frequencies} is no multiple of {PER_COMPONENT}, "
            "the number that the sampling network gives at a time"
        )
    return values.ipc


def _check_students(recipe: Recipe, source: SourceInfo) -> None:
    """Raise PoolError for an architecture that is unknown or does not accept the source's images."""
    from ncfm_hub.networks.build import check_network
    from ncfm_hub.networks.names import resolve_student

    for name in recipe.evaluation.architectures:
        check_network(replace(student_network(source), name=resolve_student(name, source.resolution)))


def images_used(source: SourceInfo, examples: int | None) -> int | None:
    """Return how many images of a split are of the classes used; None if the source does not state `examples`."""
    if examples is None:
        return None
    return int(examples * (len(source.class_names) / (source.classes_in_source or len(source.class_names))))


def _image_bytes(source: SourceInfo) -> int | None:
    """Return the bytes of the training images of the classes used, as far as the source states their number."""
    images = images_used(source, source.train_examples)
    return None if images is None else images * source.channels * source.resolution**2


def _cost(
    recipe: Recipe,
    source: SourceInfo,
    extractor: "Architecture",
    pool_ready: bool,
    engine: "Engine",
    addition: Addition | None,
) -> tuple[dict[str, float | None], str | None]:
    """Return the estimated minutes by stage, and why they are unknown if they are."""
    from ncfm_hub.planning.cost import estimate

    unknown = dict.fromkeys(("pool_minutes", "distill_minutes", "evaluate_minutes", "total_minutes"))
    train = images_used(source, source.train_examples)
    test = images_used(source, source.test_examples if source.test_split else 0)
    if train is None or test is None:
        return unknown, "the source does not state its number of images"
    new = len(addition.new) if addition else len(source.class_names)
    cost = estimate(recipe, extractor, student_network(source), train, test, pool_ready, engine, new)
    if cost is None:
        return unknown, "there is too little memory to time a step"
    return {**asdict(cost), "total_minutes": cost.total_minutes}, None
