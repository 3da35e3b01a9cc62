"""Subjects of an evaluation: a distilled dataset, ours or third-party, with its source, recipe and engine.

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
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.students import StudentPlan, student_plan
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
    """A dataset to evaluate.

    name: as the user named it
    images: uint8 (M, c, H, W), training images
    labels: int64 (M,)
    soft_labels: float32 (M, C), None if it has none
    ipc: stored images per class
    stored: stored images in all classes
    factor: stored images are factor x factor tilings; None for datasets not initialised with real tiles
    place: folder, or Hub repository and commit, of its extractor pool; a Path for a local folder of its author that is
        unknown on this machine; None for a pool made by the recipe
    pool: its extractor pool if already loaded; see `extractors`
    teachers: digest of the weights behind its soft labels, if known
    folder: where its files are; None while only in memory
    parts: number of distillations that it consists of; None for a third-party dataset
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    soft_labels: torch.Tensor | None
    ipc: int
    stored: int
    factor: int | None
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

    @property
    def seed(self) -> int:
        """Return the seed, which determines the initialisation and random real images."""
        return self.recipe.distillation.seed

    @cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation per channel of the source's training images, which students are normalised with."""
        return channel_statistics(self.source.train.images)

    def architecture(self, name: str | None = None, classes: int | None = None) -> Architecture:
        """Return a student's architecture, with a head for `classes` classes (default: all).

        name: short name or timm name; None for the field's standard ConvNet
        Raises PoolError for an unknown name.
        """
        info = self.source.info
        known = resolve_student(name, info.resolution)
        return Architecture(known, classes or len(info.class_names), info.channels, info.resolution, *self.statistics)

    def plan(self) -> StudentPlan:
        """Return the students' training settings, from the recipe."""
        return student_plan(self.recipe.evaluation, self.recipe.source.flip, len(self.labels))

    def training(self, labels: str) -> TrainingSet:
        """Return the training data with "hard" or "soft" labels. Raises DistilledError if there are no such labels."""
        if labels == "hard":
            return TrainingSet(self.images, self.labels)
        if self.soft_labels is None:
            raise DistilledError(f"{self.name} has no soft labels; evaluate it with hard labels")
        return TrainingSet(self.images, self.labels, self.soft_labels)

    def start(self) -> TrainingSet | None:
        """Return the run's initialisation (real tiles) with hard labels; None for third-party datasets."""
        if self.factor is None:
            return None
        stored = make_start(self.source, self.ipc, self.factor, self.seed)
        images = decode_stored(to_pixels(stored), self.factor)
        labels = torch.arange(len(self.class_names)).repeat_interleave(self.ipc * self.factor**2)
        return TrainingSet(images, labels)

    def extractors(self, progress: Progress | None = None) -> Pool:
        """Return the pool the dataset was made with, or one made by the recipe: downloaded, cached or trained now."""
        if self.pool is not None:
            return self.pool
        progress, source, place = progress or Silent(), self.source, self._place()
        if place is None:
            announce_pool(self.recipe, source.info, len(source.train.labels), self.engine, progress)
        found = get_extractors(source, self.recipe, place, self.engine, self.token, progress)
        if self.teachers and found.digest != self.teachers:
            progress.note("this extractor pool is not the one that computed the dataset's soft labels")
        return found

    def has_extractors(self) -> bool:
        """Return whether `extractors` finds a pool without training one."""
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
        """Return where to look for the pool.

        A folder recorded on the author's machine must not be mistaken for a repository or folder of the same name.
        """
        if isinstance(self.place, Path):
            raise PoolError(
                f"{self.name} was made with the extractor pool in {str(self.place)!r}, which is not here; name a pool "
                "with --pool"
            )
        return self.place


def own_subject(
    folder: Path, distilled: Distilled, source: Source, recipe: Recipe, engine: Engine, pool: Pool
) -> Subject:
    """Return the subject for the dataset that the current run has just written to `folder`."""
    return Subject(
        name=str(folder),
        images=distilled.images,
        labels=distilled.labels,
        soft_labels=distilled.soft_labels,
        ipc=distilled.ipc,
        stored=len(distilled.stored),
        factor=distilled.factor,
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
    """Load a distilled dataset and the source it is evaluated on.

    target: folder or dataset repository. A dataset made by ncfm-hub records its source and recipe; any other has an
        image and a label column, is read from its training split, and needs `source`
    source: pipeline, Hub id, local folder or pipeline file; for a dataset made by ncfm-hub another copy of its source,
        with the same classes, size and channels
    preset, overrides: for a dataset made by ncfm-hub limited to the sections `evaluation` and `engine`, on top of its
        recipe
    pool: folder or Hub repository of an extractor pool, in place of the one it was made with
    test: how the source's test split is used
    Raises DistilledError if the target is unusable or its source has other classes, PipelineError for settings that
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
    found = _read(recipe.source, token, progress, "unread" if unread else test)
    if unread:  # the dataset was made with a validation split, so it is evaluated on the same one
        found = cut_validation(found)
    _check_fits(target, distilled, found)
    imported = "imported" in described
    if found.fingerprint != named.get("fingerprint") and not imported:
        progress.note(
            "the source differs from the one that was distilled; the initialisation is drawn from the present one"
        )
    of_pool = described.get("pool") or {}
    return Subject(
        name=target,
        images=distilled.images,
        labels=distilled.labels,
        soft_labels=None if _one_hot(distilled) else distilled.soft_labels,
        ipc=distilled.ipc,
        stored=len(distilled.stored),
        factor=None if imported else distilled.factor,
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
    """Return the pool's origin from pipeline.yaml; a Hub pool includes its commit."""
    origin = of_pool.get("origin")
    if origin in (None, *OWN_POOLS):
        return None
    if is_hub_pool(str(origin)):
        return str(origin)
    # A folder on the author's machine: found by its content here, or else only mentioned.
    known = recall(of_pool.get("digest"))
    return str(known) if known else Path(folder_name(str(origin)))


def _read(recipe: SourceRecipe, token: str | None, progress: Progress, test: TestSplit) -> Source:
    """Read a source and say what a user should know of it, such as how many images were left out."""
    found = load_source(recipe, token=token, progress=progress, test=test)
    for note in found.notes:
        progress.note(note)
    return found


def _check_fits(target: str, distilled: Distilled, found: Source) -> None:
    if found.info.class_names != distilled.class_names:
        raise DistilledError(
            f"{target} holds the classes {_some(distilled.class_names)}; "
            f"its source {found.info.dataset} gives {_some(found.info.class_names)}"
        )


def _check_size(target: str, distilled: Distilled, source: SourceRecipe) -> None:
    """Reject a mismatch before the source is read: a third-party recipe could make it fill the memory."""
    asked, there = (source.channels, source.resolution, source.resolution), tuple(distilled.images.shape[1:])
    if asked != there:
        raise DistilledError(
            f"{target} holds images of {there} (channels, height, width); its recipe reads the source as {asked}"
        )


def _other_copy(source: SourceRecipe, named: Recipe) -> SourceRecipe:
    """Return the source with another place, columns and splits; how images are processed stays."""
    places = ("dataset", "config", "revision", "image_column", "label_column", "train_split", "test_split")
    return source.model_copy(update={name: getattr(named.source, name) for name in places})


def _one_hot(distilled: Distilled) -> bool:
    """Return whether soft labels are one-hot, as for an import without soft labels."""
    soft = distilled.soft_labels
    sure = bool((soft.gather(1, distilled.labels[:, None]) == 1).all())
    return sure and int(soft.count_nonzero()) == len(soft)


def _ours(target: str, revision: str | None, token: str | None) -> Path | None:
    """Return the folder of a dataset made by ncfm-hub, downloading it if necessary; None for any other."""
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
        raise DistilledError(f"{target} is a third-party dataset that does not name its source; give it with --source")
    recipe = resolve(source, preset, overrides).recipe
    engine = open_engine(recipe.engine.precision, recipe.engine.compile, progress)
    found = _read(recipe.source, token, progress, test)
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
        source=found,
        recipe=recipe,
        engine=engine,
        place=pool,
        token=token,
    )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")
