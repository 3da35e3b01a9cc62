"""What is measured, and where: a distilled set with its source, recipe and machine, whoever made it.

Shapes: M training images, S stored images, C classes, c channels, (H, W) resolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.distillation.start import make_start
from ncfm_hub.errors import DistilledError, PoolError
from ncfm_hub.evaluation.students import StudentPlan, TrainingSet, student_plan
from ncfm_hub.extractors.cache import get_extractors, is_cached, pinned
from ncfm_hub.extractors.pool import Pool, check_pool_fits, find_pool
from ncfm_hub.machine.engine import Engine, open_engine
from ncfm_hub.networks.build import Architecture, channel_statistics
from ncfm_hub.networks.names import resolve_student
from ncfm_hub.planning.announcing import announce_pool
from ncfm_hub.publishing.dataset.dataset import Distilled, decode_stored, to_pixels
from ncfm_hub.publishing.dataset.layout import OWN_POOLS, PIPELINE, TENSORS
from ncfm_hub.publishing.dataset.loading import load_distilled, locate
from ncfm_hub.publishing.dataset.provenance import is_hub_pool, recipe_of
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.recipes.resolve import change_evaluation, resolve
from ncfm_hub.recipes.schema import Recipe, SourceRecipe
from ncfm_hub.sources import Source, TestSplit, cut_validation, is_validation, load_source
from ncfm_hub.sources.single import load_labelled_images
from ncfm_hub.utils.named import Named, text_of
from ncfm_hub.utils.places import folder_name, recall
from ncfm_hub.utils.progress import Progress, Silent


@dataclass(frozen=True)
class Subject:
    """A set to be measured.

    name: as the user named it
    images: uint8 (M, c, H, W), ready to train; labels: int64 (M,); soft_labels: float32 (M, C), None if it has none
    ipc: stored images of a class; stored: of all classes
    factor: a stored image is a factor x factor tiling; None for sets that started from no tiling of real images
    seed: from which the start and random images are drawn
    place: folder, or Hub repository and commit, of its extractors; a Path for a folder of its maker's that is not known
        here; None for a pool by the recipe
    pool: its extractors where they are at hand; see `extractors`
    teachers: digest of the weights that its soft labels come from, where it is known
    folder: where its files lie; None while it is only in memory
    parts: distillations that its classes come from; None where it was made elsewhere and nobody knows
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    soft_labels: torch.Tensor | None
    ipc: int
    stored: int
    factor: int | None
    seed: int
    source: Source
    recipe: Recipe
    engine: Engine
    place: str | Path | None = None
    token: str | None = None
    folder: Path | None = None
    pool: Pool | None = None
    teachers: str | None = None
    parts: int | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.source.info.class_names

    @cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation per channel of the source's training images, by which students normalise."""
        return channel_statistics(self.source.train.images)

    def architecture(self, name: str | None = None, classes: int | None = None) -> Architecture:
        """Of a student: by its short name or timm's, None for the field's ConvNet; with a head of all classes, or so
        many. Raises PoolError for a name that nobody knows."""
        info = self.source.info
        known = resolve_student(name, info.resolution)
        return Architecture(known, classes or len(info.class_names), info.channels, info.resolution, *self.statistics)

    def plan(self) -> StudentPlan:
        """How each student is trained, by the recipe."""
        return student_plan(self.recipe.evaluation, self.recipe.source.flip, len(self.labels))

    def training(self, labels: str) -> TrainingSet:
        """The set as students get it, with "hard" or "soft" labels. Raises DistilledError where it has none."""
        if labels == "hard":
            return TrainingSet(self.images, self.labels)
        if self.soft_labels is None:
            raise DistilledError(f"{self.name} has no soft labels; measure it with hard ones")
        return TrainingSet(self.images, self.labels, self.soft_labels)

    def start(self) -> TrainingSet | None:
        """The mixed-tile start of its run with hard labels; None for sets of others, which had another."""
        if self.factor is None:
            return None
        stored = make_start(self.source, self.ipc, self.factor, self.seed)
        images = decode_stored(to_pixels(stored), self.factor)
        labels = torch.arange(len(self.class_names)).repeat_interleave(self.ipc * self.factor**2)
        return TrainingSet(images, labels)

    def extractors(self, progress: Progress | None = None) -> Pool:
        """The pool it was made with, or one by the recipe: from where it was, the cache, or trained now."""
        if self.pool is not None:
            return self.pool
        progress, source, place = progress or Silent(), self.source, self._place()
        if place is None:
            announce_pool(self.recipe, source.info, len(source.train.labels), self.engine, progress)
        found = get_extractors(source, self.recipe, place, self.engine, self.token, progress)
        if self.teachers and found.digest != self.teachers:
            progress.note("the extractors at hand are not those that this set's soft labels come from")
        return found

    def has_extractors(self) -> bool:
        """Whether `extractors` finds them, and none need be trained."""
        if self.pool is not None:
            return True
        info, flip = self.source.info, self.recipe.source.flip
        try:
            place = self._place()
            if place is None:
                trained = pinned(self.recipe.pool)
                return is_cached(self.source.fingerprint, flip, trained, info.resolution, self.engine)
            check_pool_fits(find_pool(place, self.token), self.class_names, info.channels, info.resolution)
        except PoolError:
            return False
        return True

    def _place(self) -> str | None:
        """Where its extractors are looked for. A folder of its maker's is no repository, nor a folder here, of the same
        name."""
        if isinstance(self.place, Path):
            raise PoolError(
                f"{self.name} was made with the extractors in the folder {str(self.place)!r}, which is not here; name "
                "them by --pool"
            )
        return self.place


def own_subject(
    folder: Path, distilled: Distilled, source: Source, recipe: Recipe, seed: int, engine: Engine, pool: Pool
) -> Subject:
    """The set that a run of ours has just written to `folder`."""
    return Subject(
        name=str(folder),
        images=distilled.images,
        labels=distilled.labels,
        soft_labels=distilled.soft_labels,
        ipc=distilled.ipc,
        stored=len(distilled.stored),
        factor=distilled.factor,
        seed=seed,
        source=source,
        recipe=recipe,
        engine=engine,
        folder=folder,
        pool=pool,
        parts=1,
    )


def open_subject(
    target: Named,
    *,
    source: Named | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    pool: Named | None = None,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
    test: TestSplit = "required",
) -> Subject:
    """Read a distilled set, of ours or of others, and the source that it is measured on.

    target: folder, or dataset repository of a Hub. A set of ours names its source and recipe; any other is a dataset
        with a column of images and one of labels, whose training split is taken, and needs `source`
    source: a pipeline's name, a Hub id, a local folder or a pipeline file. For a set of ours another copy of what it
        was made from: classes, size and channels stay
    preset, overrides: for a set of ours of the sections `evaluation` and `engine` only, over the recipe that it was
        made with; any for others
    pool: folder or Hub repository of extractors, in place of those that it was made with
    test: what is asked of the source's test split
    Raises DistilledError if the target cannot be used or its source has other classes, PipelineError for values that
    cannot be changed.
    """
    progress = progress or Silent()
    target, source, pool = text_of(target), text_of(source), text_of(pool)
    folder = _ours(target, revision, token)
    if folder is None:
        return _open_foreign(target, source, preset, overrides, pool, revision, token, progress, test)
    described, distilled = read_pipeline(folder), load_distilled(folder)
    recipe = recipe_of(described, folder)
    if source is not None:
        recipe = recipe.model_copy(update={"source": _other_copy(recipe.source, resolve(source, None, None).recipe)})
    recipe = change_evaluation(recipe, preset, overrides)
    _check_size(target, distilled, recipe.source)
    engine = open_engine(recipe.engine.precision, recipe.engine.compile, progress)
    named = described.get("source", {})
    if source is None and "test_split" in named and named["test_split"] is None and test == "required":
        raise DistilledError(
            f"{target} was distilled from {named.get('dataset')}, which had no test split; name a source that has one "
            "by --source"
        )
    unread = is_validation(str(named.get("test_split")))
    found = load_source(recipe.source, token=token, progress=progress, test="unread" if unread else test)
    if unread:  # what a set is measured on was cut from the training split when it was made
        found = cut_validation(found)
    _check_fits(target, distilled, found)
    imported = "imported" in described
    if found.fingerprint != named.get("fingerprint") and not imported:
        progress.note("the source differs from the one this set was made from; its start is drawn from the present one")
    seed = 0 if imported else described.get("seed")
    if not isinstance(seed, int):
        raise DistilledError(f"{target}: pipeline.yaml gives no seed, from which the start and random images are drawn")
    of_pool = described.get("pool") or {}
    return Subject(
        name=target,
        images=distilled.images,
        labels=distilled.labels,
        soft_labels=None if _one_hot(distilled) else distilled.soft_labels,
        ipc=distilled.ipc,
        stored=len(distilled.stored),
        factor=None if imported else distilled.factor,
        seed=seed,
        source=found,
        recipe=recipe,
        engine=engine,
        place=pool or _recorded_place(of_pool),
        teachers=of_pool.get("digest"),
        token=token,
        folder=folder,
        parts=None if imported else len(described.get("parts") or [described]),
    )


def _recorded_place(of_pool: Mapping[str, Any]) -> str | Path | None:
    """Where the extractors came from as pipeline.yaml has it: what came from a Hub has its commit there."""
    origin = of_pool.get("origin")
    if origin in (None, *OWN_POOLS):
        return None
    if is_hub_pool(str(origin)):
        return str(origin)
    # A folder of its maker's: found by what is in it, and else only told of.
    known = recall(of_pool.get("digest"))
    return str(known) if known else Path(folder_name(str(origin)))


def _check_fits(target: str, distilled: Distilled, found: Source) -> None:
    if found.info.class_names != distilled.class_names:
        raise DistilledError(
            f"{target} holds the classes {_some(distilled.class_names)}; "
            f"its source {found.info.dataset} gives {_some(found.info.class_names)}"
        )


def _check_size(target: str, distilled: Distilled, source: SourceRecipe) -> None:
    """Refuse before the source is read: what a stranger's recipe makes of it could fill the memory."""
    asked, there = (source.channels, source.resolution, source.resolution), tuple(distilled.images.shape[1:])
    if asked != there:
        raise DistilledError(
            f"{target} holds images of {there} (channels, height, width); its recipe reads the source as {asked}"
        )


def _other_copy(source: SourceRecipe, named: Recipe) -> SourceRecipe:
    """A set's source with another place, columns and splits; what the images are made into stays."""
    places = ("dataset", "config", "revision", "image_column", "label_column", "train_split", "test_split")
    return source.model_copy(update={name: getattr(named.source, name) for name in places})


def _one_hot(distilled: Distilled) -> bool:
    """Whether soft labels say no more than the hard ones, as those of an import without any."""
    soft = distilled.soft_labels
    sure = bool((soft.gather(1, distilled.labels[:, None]) == 1).all())
    return sure and int(soft.count_nonzero()) == len(soft)


def _ours(target: str, revision: str | None, token: str | None) -> Path | None:
    """The folder of a set of ours, fetched if need be; None where the target is of another make."""
    folder = locate(target, revision=revision, token=token)
    has = [name for name in (PIPELINE, TENSORS) if (folder / name).is_file()]
    return folder if has else None


def _open_foreign(
    target: str,
    source: str | None,
    preset: str | None,
    overrides: Mapping[str, Any] | None,
    pool: str | None,
    revision: str | None,
    token: str | None,
    progress: Progress,
    test: TestSplit,
) -> Subject:
    if source is None:
        raise DistilledError(
            f"{target} is not a set of ncfm-hub and does not say what it was made from; name that by --source"
        )
    recipe = resolve(source, preset, overrides).recipe
    engine = open_engine(recipe.engine.precision, recipe.engine.compile, progress)
    found = load_source(recipe.source, token=token, progress=progress, test=test)
    images, soft_labels = load_labelled_images(target, revision, found.info, token=token, progress=progress)
    classes = len(found.info.class_names)
    counts, ipc = torch.bincount(images.labels, minlength=classes), -(-len(images.labels) // classes)
    if counts.min() != counts.max():
        progress.note(
            f"{target} has from {int(counts.min())} to {int(counts.max())} images a class; what it is compared with "
            f"has {ipc} of each"
        )
    return Subject(
        name=target,
        images=images.images,
        labels=images.labels,
        soft_labels=soft_labels,
        ipc=ipc,
        stored=len(images.labels),
        factor=None,
        seed=0,
        source=found,
        recipe=recipe,
        engine=engine,
        place=pool,
        token=token,
    )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")
