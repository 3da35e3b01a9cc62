"""The Python API: plan, distill, pretrain, evaluate, push.

Data flow: pipeline -> source -> extractor pool -> distilled images -> labels -> folder -> evaluation -> card -> Hub.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ncfm_hub.errors import PublishError, ReplaceNeeded
from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.planning.announcing import announce_pool, published_in
from ncfm_hub.planning.plan import Plan
from ncfm_hub.planning.plan import plan as plan  # part of the public API
from ncfm_hub.planning.pool_plan import plan_pool as plan_pool  # the same
from ncfm_hub.planning.pool_plan import pool_repository
from ncfm_hub.planning.recorded import resolve_named
from ncfm_hub.planning.work_folder import WORK_FOLDER, claim, claim_for_copy, copied
from ncfm_hub.utils.commit_options import ON_MAIN, CommitOptions
from ncfm_hub.utils.files import whole_file
from ncfm_hub.utils.named import NONE, Named, path_of, text_of, texts_of
from ncfm_hub.utils.patience import speaking
from ncfm_hub.utils.progress import Progress, Silent
from ncfm_hub.utils.stopwatch import Stopwatch, Ticking

if TYPE_CHECKING:
    from ncfm_hub.publishing import Pushed


@dataclass(frozen=True)
class Run:
    """A finished distillation.

    folder: as `datasets.load_dataset` reads it, with a directory for each distilled dataset
    name: directory and configuration of the one made by this run
    results: the content of results.json
    pushed: repository and commit; None if not pushed
    """

    folder: Path
    name: str
    results: dict[str, Any] = field(repr=False)
    pushed: "Pushed | None" = None

    @property
    def set_folder(self) -> Path:
        """The folder with the files of the dataset made by this run."""
        return self.folder / self.name


@dataclass(frozen=True)
class PoolResult:
    """A trained extractor pool.

    folder: where it is stored
    key: hex digest of what determines it
    members: number of (initial, trained) pairs
    accuracy: top-1 accuracy in percent of each member, by beta
    pushed: repository and commit; None if not pushed
    """

    folder: Path
    key: str
    members: int
    accuracy: list[dict[str, float]] = field(repr=False)
    pushed: "Pushed | None" = None


def distill(
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
    resume: bool = False,
    restart: bool = False,
    validation: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Distill a dataset, evaluate the result, write its folder and, if asked, push it to the Hub.

    dataset: name of a pipeline, Hub id, local folder or pipeline file; or, for its recipe on its source revision, the
        pipeline.yaml of a distilled dataset, or `owner/name/ipc10@REV`
    ipc: stored images per class (the setting `distillation.ipc`); default: the pipeline file's, or that of `append`
    preset: "gpu", "cpu" or "paper"; default: chosen by device
    overrides: settings by dotted key, for example {"distillation.steps": 100}
    seed: random seed (the setting `distillation.seed`); default: the pipeline file's, else 0, or that of `append`
    output: folder to write; default: `<pipeline>-ncfm` in the current folder. Other distilled datasets of the same
        source in it stay, and share its card
    name: directory and configuration of the distilled dataset there; default: `ipc<N>`
    default: the distilled dataset that is loaded where none is named; default: the first
    push: publish it in a dataset repository, beside those that are there
    repo_id: repository to push to; default: made from the pipeline's name
    private: create the repository as private
    replace: replace what is there under the same name, in the folder and in the repository; without it the run is
        refused before any work starts
    commit: how the commit of the push is made: message, branch, tag, or a pull request
    token: Hub token; default: the one you are logged in with
    pool: folder or Hub repository (`owner/name[@revision]`) of a pretrained extractor pool, which may cover more
        classes, or "none" to train one here (the setting `pool.use`); default: from the cache, else published with the
        same settings, else trained
    append: distilled dataset, folder or Hub repository, to add the classes in `source.classes` to, under its own
        settings and seed. It stays unchanged: the larger dataset is written to `output` and pushed to its repository.
        The images equal those of one distillation of all classes if the same `pool` was used each time and no setting
        couples classes; pipeline.yaml records whether they do
    resume: continue the run that was started in `output`
    restart: rename that folder and start over
    validation: evaluate on a validation split cut from the training split; the test split is never read
    progress: receives messages and progress; default: silent
    Raises a subclass of NcfmHubError with a one-line message.
    """
    with speaking(progress):
        settled = plan(
            dataset,
            ipc,
            preset=preset,
            overrides=overrides,
            seed=seed,
            output=output,
            name=name,
            default=default,
            push=push,
            repo_id=repo_id,
            private=private,
            replace=replace,
            commit=commit,
            token=token,
            pool=pool,
            append=append,
            validation=validation,
        )
    return carry_out(settled, token=token, resume=resume, restart=restart, progress=progress)


@reproducible()
def carry_out(
    settled: Plan,
    *,
    token: str | None = None,
    resume: bool = False,
    restart: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Run a plan: the second half of `distill`, for callers who inspect the plan first.

    replace: set aside a finished dataset of the same name in the folder, as if the plan said so
    """
    from ncfm_hub import stages
    from ncfm_hub.evaluation.protocol import student_journal
    from ncfm_hub.evaluation.subjects import own_subject
    from ncfm_hub.evaluation.table import evaluate_subject
    from ncfm_hub.extractors.cache import get_extractors
    from ncfm_hub.machine.engine import open_engine
    from ncfm_hub.machine.peaks import Peaks

    progress = progress or Silent()
    pipeline, addition = settled.pipeline, settled.addition
    asked = pipeline.recipe.engine
    engine = open_engine(asked.precision, asked.compile, progress, device=asked.device)
    folder = settled.place.folder
    work, main = folder / WORK_FOLDER, engine.accelerator.is_main_process
    if main:
        claim(settled.place, resume, restart, progress, replace=replace or settled.replace)
    watch = Stopwatch(work / "times.json" if main else None, progress)
    progress, peaks = Ticking(progress, watch), Peaks(engine.device)
    with watch.measure("source"):
        source = stages.read_source(pipeline.recipe, settled.test, token, progress)
    with watch.measure("pool"), peaks.measure("pool"):
        extractors = get_extractors(
            source, pipeline.recipe, settled.extractors, engine, token, progress, published=settled.published
        )
    new = stages.part_to_make(source, extractors, settled, engine, progress)
    with peaks.measure("distill"):
        made = stages.make_images(new, extractors, pipeline.recipe, engine, work, resume, progress)
    watch.record("distill", made.seconds)
    with watch.measure("labels"):
        distilled = stages.write_images(source, extractors, made, pipeline.recipe, engine, folder, addition, progress)
    with watch.measure("evaluate"), peaks.measure("evaluate"):
        subject = own_subject(folder, distilled, source, pipeline.recipe, engine, extractors)
        measured = evaluate_subject(subject, False, student_journal(), progress)
    results = stages.results_of(measured, new, extractors, made, pipeline.recipe, addition, peaks.bytes)
    pushed = None
    if main:
        seconds = watch.seconds | {"total": sum(watch.seconds.values())}
        stages.write_description(settled, source, extractors, engine, distilled, results, seconds)
        if settled.repo_id:
            pushed = _push_run(settled, token, progress)
    engine.accelerator.wait_for_everyone()
    return Run(settled.output, settled.name, results, pushed)


@reproducible()
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
    commit: CommitOptions = ON_MAIN,
    token: str | None = None,
    pool: Named | None = None,
    progress: Progress | None = None,
) -> PoolResult:
    """Train the extractor pool that `distill` uses for the same dataset and settings, or find it as `distill` does.

    dataset, preset, overrides, commit, token, pool, progress: as for `distill`
    output: folder to copy the pool to; default: the pool stays in the cache, and its folder there is returned
    push: publish the pool as a model repository
    repo_id: repository to push to; default: `<user>/<pipeline>-ncfm-pool`
    private: create the repository as private
    replace: replace a pool of another source in the repository
    Raises a subclass of NcfmHubError with a one-line message.
    """
    from ncfm_hub import stages
    from ncfm_hub.extractors.cache import get_extractors
    from ncfm_hub.machine.engine import open_engine
    from ncfm_hub.publishing import push_folder
    from ncfm_hub.publishing.cards.pool_card import write_pool_card
    from ncfm_hub.sources import inspect_source

    progress, output = progress or Silent(), path_of(output)
    pipeline = resolve_named(dataset, preset, overrides, token)
    how: dict[str, Any] = {"private": private, "replace": replace, "commit": commit, "token": token}
    target = None
    if push:
        info = inspect_source(pipeline.recipe.source, token=token, test="if there")
        target = pool_repository(pipeline, info, repo_id=repo_id, **how)
    asked = pipeline.recipe.engine
    engine = open_engine(asked.precision, asked.compile, progress, device=asked.device)
    if output is not None and engine.accelerator.is_main_process:
        claim_for_copy(output)
    source = stages.read_source(pipeline.recipe, "if there", token, progress)
    place = text_of(pool) if pool is not None else pipeline.recipe.pool.use
    images = len(source.train.labels)
    described = announce_pool(
        pipeline.recipe, source.info, images, engine, progress, pool=place, pipeline=pipeline.name, token=token
    )
    published = published_in(described, place)
    found = get_extractors(source, pipeline.recipe, place, engine, token, progress, published=published, keep=True)
    assert found.folder is not None
    folder = found.folder
    pushed = None
    if engine.accelerator.is_main_process:
        if place in (None, NONE) and not found.claims_recipe:
            write_pool_card(folder, repo_id=target)
        if output is not None:
            folder = _copy_pool(folder, output)
        if target:
            pushed = push_folder(folder, target, **how, repo_type="model", progress=progress)
    return PoolResult(folder, found.key, len(found.members), list(found.accuracy), pushed)


@reproducible()
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
    """Evaluate distilled datasets, including third-party ones, by training students (evaluation networks) on them.

    Results are cached for each student, so an interrupted call continues where it stopped.

    targets: one or more folders or Hub repositories
    source: pipeline, Hub id or folder to test on, for third-party datasets or in place of the recorded source
    preset, overrides: settings of the sections `evaluation` and `engine`, for third-party datasets of every section;
        default: those of the first dataset
    pool: folder or Hub repository (`owner/name[@revision]`) of an extractor pool for the baselines, or "none" to train
        one here; default: the one the dataset was made with
    ranking: also compute the DD-Ranking metrics
    again: retrain students even where cached results exist
    update: write the results into the folder's results.json and card
    revision: branch, tag or commit of a Hub repository
    token, progress: as for `distill`
    Returns rows, protocol and further measurements as in results.json; for several targets {"targets": [...]}, each
    with its name, all evaluated under the settings of the first.
    Raises DistilledError for a target that cannot be evaluated, PipelineError for settings that cannot be changed.
    """
    from ncfm_hub.evaluation.evaluate import evaluate_sets
    from ncfm_hub.evaluation.opening import SubjectOptions

    found = evaluate_sets(
        texts_of(targets),
        SubjectOptions(source, preset, overrides, pool, revision, token),
        with_ranking=ranking,
        again=again,
        update=update,
        progress=progress or Silent(),
    )
    return found[0] if len(found) == 1 else {"targets": found}


def push(
    folder: Named,
    *,
    repo_id: str | None = None,
    private: bool = False,
    replace: bool = False,
    default: str | None = None,
    commit: CommitOptions = ON_MAIN,
    dry_run: bool = False,
    token: str | None = None,
    progress: Progress | None = None,
) -> "Pushed":
    """Publish distilled datasets or an extractor pool in one commit, and verify the upload by reading it back.

    folder: written by `distill`, `pretrain` or `import_set`: with all of its datasets, or `folder/ipc10` for one
    repo_id: name or owner/name; default: made from the pipeline's name. Other datasets in it stay
    private: create the repository as private
    replace: replace what the repository holds under the same name; without it such a push is refused
    default: the distilled dataset that is loaded where none is named; default: that of the repository, else the first
    commit: how the commit is made: message, branch, tag, or a pull request
    dry_run: check, and return what would be uploaded; neither the folder nor the Hub is changed
    token, progress: as for `distill`
    Returns the repository, its address, the commit and what was uploaded.
    Raises PublishError; ReplaceNeeded if another version is there.
    """
    from ncfm_hub.extractors.pool import POOL_FILE
    from ncfm_hub.publishing import check_can_push, push_command, push_folder
    from ncfm_hub.publishing.hub.permission import NOT_BEGUN
    from ncfm_hub.stages import default_repository

    folder = path_of(folder)
    is_pool = (folder / POOL_FILE).is_file()
    name = f"{folder.resolve().name}-pool" if is_pool else default_repository(folder)
    repo_type: Literal["dataset", "model"] = "model" if is_pool else "dataset"
    command = push_command(folder, repo_id, private=private, replace=replace, default=default, commit=commit)
    target = check_can_push(
        repo_id,
        token=token,
        default_name=name,
        repo_type=repo_type,
        private=private,
        commit=commit,
        again=NOT_BEGUN if dry_run else f"push it again with: {command}",
    )
    return push_folder(
        folder,
        target,
        private=private,
        replace=replace,
        default=default,
        commit=commit,
        dry_run=dry_run,
        token=token,
        repo_type=repo_type,
        progress=progress,
    )


def push_pool(
    target: Named,
    *,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    repo_id: str | None = None,
    **options: Any,
) -> "Pushed":
    """Publish an extractor pool as a model repository; see `push`, which takes the same `options`.

    target: a folder, the key of a pool in the cache or its beginning, or what `pretrain` trained it for: name of a
        pipeline, Hub id, local folder or pipeline file
    preset, overrides: settings of that training, as for `distill`
    repo_id: name or owner/name; default: `<user>/<pipeline>-ncfm-pool`
    Returns the repository, its address and the commit.
    Raises PoolError if there is no such pool, PublishError; ReplaceNeeded if another version is there.
    """
    from ncfm_hub.extractors.pool import POOL_FILE
    from ncfm_hub.extractors.published import pool_repo_name
    from ncfm_hub.publishing.pools.listing import local_pool
    from ncfm_hub.publishing.pools.trained import pool_of_pipeline, repo_name_of

    folder = local_pool(text_of(target))
    if folder is not None and (folder / POOL_FILE).is_file():
        name = repo_name_of(folder)
    else:
        pipeline = resolve_named(target, preset, overrides, options.get("token"))
        folder, name = pool_of_pipeline(pipeline, options.get("token")), pool_repo_name(pipeline.name)
    return push(folder, repo_id=repo_id or name, **options)


def _push_run(settled: Plan, token: str | None, progress: Progress) -> "Pushed":
    from ncfm_hub.publishing import push_folder

    assert settled.repo_id is not None
    how = {name: getattr(settled, name) for name in ("private", "replace", "default", "commit")}
    try:
        return push_folder(settled.place.folder, settled.repo_id, **how, token=token, progress=progress)
    except ReplaceNeeded as error:
        # Pushed by others since the run began. A caller who asks and calls again must not distill again.
        raise PublishError(str(error), again=False) from error


def _copy_pool(folder: Path, output: Path) -> Path:
    for path in sorted(folder.glob("*")):
        if path.is_file() and not path.name.startswith("."):
            with whole_file(output / path.name) as temporary:
                shutil.copyfile(path, temporary)
    copied(output)
    return output
