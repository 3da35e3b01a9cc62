"""The library as its users call it: plan, distill, pretrain, evaluate, push.

Data flows one way: pipeline -> source -> pool -> images -> labels -> folder -> evaluation -> card -> Hub.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ncfm_hub.planning.announcing import announce_pool
from ncfm_hub.planning.plan import Plan, coming
from ncfm_hub.planning.plan import plan as plan  # the first part of what is called here
from ncfm_hub.planning.work_folder import WORK_FOLDER, claim, claim_for_copy, copied
from ncfm_hub.recipes.resolve import resolve
from ncfm_hub.utils.files import whole_file
from ncfm_hub.utils.named import Named, path_of, text_of, texts_of
from ncfm_hub.utils.progress import Progress, Silent
from ncfm_hub.utils.stopwatch import Stopwatch, Ticking

if TYPE_CHECKING:
    from ncfm_hub.publishing import Pushed


@dataclass(frozen=True)
class Run:
    """A finished distillation: its folder, what was measured (the content of results.json), where it was pushed."""

    folder: Path
    results: dict[str, Any] = field(repr=False)
    pushed: "Pushed | None" = None


@dataclass(frozen=True)
class PoolResult:
    """A pool of extractors: its folder, key, number of members and their accuracies by beta (percent)."""

    folder: Path
    key: str
    members: int
    accuracy: list[dict[str, float]] = field(repr=False)
    pushed: "Pushed | None" = None


def distill(
    dataset: Named,
    ipc: int,
    *,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int | None = None,
    output: Named | None = None,
    push: bool = False,
    repo_id: str | None = None,
    private: bool = False,
    replace: bool = False,
    token: str | None = None,
    pool: Named | None = None,
    append: Named | None = None,
    resume: bool = False,
    restart: bool = False,
    validation: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Distill a dataset to `ipc` stored images per class, measure it, write its folder and, if asked, push it.

    dataset: a pipeline's name, a Hub id, a local folder, or a pipeline file
    preset: "paper" or "cpu", None by device; overrides: recipe values by dotted key ({"distillation.steps": 100})
    seed: of all draws; 0 by default
    output: folder of the result, `<pipeline>-ncfm-ipc<N>` in the current one by default
    resume: go on with the run that was begun in that folder; restart: rename the folder and begin anew
    pool: folder or Hub repository of extractors, which may know more classes; None trains them, or takes them from the
        cache
    append: a set of ours, folder or Hub repository, to which the classes of `source.classes` are added under its own
        recipe and seed. It stays as it is: the larger set is written to `output`, and pushed to that repository. Its
        images equal those of all classes at once if `pool` was the same each time and nothing looked at all classes
        together; pipeline.yaml says whether
    validation: measure on a part cut from the training split, never reading the test split
    replace: a set of another source or ipc in the repository goes; without it that is refused before anything starts
    Raises NcfmHubError subclasses, one readable line each.
    """
    settled = plan(
        dataset,
        ipc,
        preset=preset,
        overrides=overrides,
        seed=seed,
        output=output,
        push=push,
        repo_id=repo_id,
        private=private,
        replace=replace,
        token=token,
        pool=pool,
        append=append,
        validation=validation,
    )
    return carry_out(settled, token=token, resume=resume, restart=restart, progress=progress)


def carry_out(
    settled: Plan,
    *,
    token: str | None = None,
    resume: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Do what a plan says: `distill` in two parts, for those who look at the plan in between."""
    from ncfm_hub import stages
    from ncfm_hub.evaluation.protocol import student_journal
    from ncfm_hub.evaluation.subjects import own_subject
    from ncfm_hub.evaluation.table import evaluate_subject
    from ncfm_hub.extractors.cache import get_extractors
    from ncfm_hub.machine.engine import open_engine

    progress = progress or Silent()
    pipeline, ipc, seed, addition = settled.pipeline, settled.ipc, settled.seed, settled.addition
    engine = open_engine(pipeline.recipe.engine.precision, pipeline.recipe.engine.compile, progress)
    folder = settled.output
    work, main = folder / WORK_FOLDER, engine.accelerator.is_main_process
    if main:
        claim(folder, resume, restart, progress)
    watch = Stopwatch(work / "times.json" if main else None, progress)
    progress = Ticking(progress, watch)
    with watch.measure("source"):
        source = stages.read_source(pipeline.recipe, ipc, settled.test, token, progress)
    with watch.measure("pool"):
        extractors = get_extractors(source, pipeline.recipe, settled.extractors, engine, token, progress)
    new = stages.part_to_make(source, extractors, settled, engine, progress)
    made = stages.make_images(new, extractors, pipeline.recipe, ipc, seed, engine, work, resume, progress)
    watch.record("distill", made.seconds)
    with watch.measure("labels"):
        distilled = stages.write_images(source, extractors, made, pipeline.recipe, engine, folder, addition, progress)
    with watch.measure("evaluate"):
        subject = own_subject(folder, distilled, source, pipeline.recipe, seed, engine, extractors)
        measured = evaluate_subject(subject, False, student_journal(), progress)
    results = stages.results_of(measured, new, extractors, made, pipeline.recipe, ipc, addition)
    pushed = None
    if main:
        seconds = watch.seconds | {"total": sum(watch.seconds.values())}
        stages.describe(settled, source, extractors, engine, distilled, results, seconds)
        if settled.repo_id:
            pushed = _push(folder, settled.repo_id, settled.private, settled.replace, token, progress)
    engine.accelerator.wait_for_everyone()
    return Run(folder, results, pushed)


def pretrain(
    dataset: Named,
    *,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    output: Named | None = None,
    push: bool = False,
    repo_id: str | None = None,
    private: bool = False,
    replace: bool = False,
    token: str | None = None,
    progress: Progress | None = None,
) -> PoolResult:
    """Train the pool that `distill` of the same dataset and recipe uses; a second call finds it in the cache.

    output: folder to copy the pool to (the cache's own folder is returned otherwise); push puts it on the Hub as a
    model repository, `<user>/<pipeline>-ncfm-pool` by default; replace: a pool of another source there goes.
    """
    from ncfm_hub import stages
    from ncfm_hub.extractors.cache import get_extractors, pool_folder
    from ncfm_hub.machine.engine import open_engine
    from ncfm_hub.publishing.cards.pool_card import write_pool_card

    progress, output = progress or Silent(), path_of(output)
    pipeline = resolve(dataset, preset, overrides)
    target = None
    if push:
        from ncfm_hub.publishing import check_can_push
        from ncfm_hub.sources import inspect_source

        target = check_can_push(
            repo_id,
            token=token,
            default_name=f"{pipeline.name}-ncfm-pool",
            repo_type="model",
            private=private,
            coming=coming(inspect_source(pipeline.recipe.source, token=token, test="if there")),
            replace=replace,
        )
    engine = open_engine(pipeline.recipe.engine.precision, pipeline.recipe.engine.compile, progress)
    if output is not None and engine.accelerator.is_main_process:
        claim_for_copy(output)
    source = stages.read_source(pipeline.recipe, 1, "if there", token, progress)
    announce_pool(pipeline.recipe, source.info, len(source.train.labels), engine, progress)
    pool = get_extractors(source, pipeline.recipe, None, engine, token, progress)
    folder = pool_folder(pool.key)
    pushed = None
    if engine.accelerator.is_main_process:
        write_pool_card(folder, repo_id=target)
        if output is not None:
            folder = _copy_pool(folder, output)
        if target:
            pushed = _push(folder, target, private, replace, token, progress, "model")
    return PoolResult(folder, pool.key, len(pool.members), list(pool.accuracy), pushed)


def evaluate(
    targets: Named | Sequence[Named],
    *,
    source: Named | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    pool: Named | None = None,
    ranking: bool = False,
    again: bool = False,
    update: bool = False,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure distilled sets, folders or Hub repositories, of ours or of others, on the source they were made from.

    source: where sets of others came from (a pipeline, a Hub id, a folder), or in place of what a set of ours names
    preset, overrides: of the sections `evaluation` and `engine` only; by default the recipe of the first set
    pool: folder or Hub repository of extractors for the baselines, in place of those a set was made with
    ranking: also DD-Ranking's figures; again: train anew what was measured under the same conditions before
    update: write what was measured into the folder's results.json and card
    Returns rows, protocol and what else was asked for, as in `results.json`; of several targets {"targets": [...]},
    each with its name, all under the recipe of the first. What was measured is kept in the cache student by student,
    so that the same call goes on where it stopped.
    Raises DistilledError for a target that cannot be measured, PipelineError for values that cannot be changed.
    """
    from ncfm_hub.evaluation.evaluate import evaluate_sets

    found = evaluate_sets(
        texts_of(targets),
        source=text_of(source),
        preset=preset,
        overrides=overrides,
        pool=text_of(pool),
        with_ranking=ranking,
        again=again,
        update=update,
        revision=revision,
        token=token,
        progress=progress or Silent(),
    )
    return found[0] if len(found) == 1 else {"targets": found}


def push(
    folder: Named,
    *,
    repo_id: str | None = None,
    private: bool = False,
    replace: bool = False,
    token: str | None = None,
    progress: Progress | None = None,
) -> "Pushed":
    """Put a distilled folder (or a pool's folder) on the Hub in one commit and read it back.

    repo_id: a name or owner/name; by default made of the pipeline's name
    replace: what is there goes, if it is another set (or pool); without it that is refused
    Raises PublishError.
    """
    from ncfm_hub.extractors.pool import POOL_FILE
    from ncfm_hub.publishing import check_can_push, push_command
    from ncfm_hub.stages import default_name

    folder = path_of(folder)
    is_pool = (folder / POOL_FILE).is_file()
    name = f"{folder.resolve().name}-pool" if is_pool else default_name(folder)
    repo_type: Literal["dataset", "model"] = "model" if is_pool else "dataset"
    command = push_command(folder, repo_id, private=private, replace=replace)
    again = f"push it again with: {command}"
    target = check_can_push(repo_id, token=token, default_name=name, repo_type=repo_type, private=private, again=again)
    return _push(folder, target, private, replace, token, progress or Silent(), repo_type)


def _push(
    folder: Path,
    repo_id: str,
    private: bool,
    replace: bool,
    token: str | None,
    progress: Progress,
    repo_type: Literal["dataset", "model"] = "dataset",
) -> "Pushed":
    from ncfm_hub.publishing import push_folder

    return push_folder(
        folder, repo_id, private=private, replace=replace, token=token, repo_type=repo_type, progress=progress
    )


def _copy_pool(folder: Path, output: Path) -> Path:
    for path in sorted(folder.glob("*")):
        if path.is_file() and not path.name.startswith("."):
            with whole_file(output / path.name) as temporary:
                shutil.copyfile(path, temporary)
    copied(output)
    return output
