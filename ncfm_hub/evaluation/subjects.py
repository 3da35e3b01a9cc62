"""Subjects of an evaluation: a distilled dataset, ours or third-party, with its source, recipe and engine.

Shapes: M training images, S stored images, C classes, c channels, (H, W) resolution.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from ncfm_hub.distillation.start import make_start
from ncfm_hub.errors import DistilledError, PoolError
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.students import StudentPlan, student_plan
from ncfm_hub.extractors.cache import cached_pool, get_extractors, key_of_recipe
from ncfm_hub.extractors.finding import find_pool
from ncfm_hub.extractors.pool import Pool, check_pool_fits
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture, channel_statistics
from ncfm_hub.networks.names import resolve_student
from ncfm_hub.planning.announcing import announce_pool
from ncfm_hub.publishing.dataset.dataset import Distilled, decode_stored, to_pixels
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources import Source
from ncfm_hub.utils.named import NONE
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
        unknown on this machine; None for a pool made by the recipe, NONE for one that is trained here
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
        if place in (None, NONE):
            announce_pool(self.recipe, source.info, len(source.train.labels), self.engine, progress, pool=place)
        found = get_extractors(source, self.recipe, place, self.engine, self.token, progress)
        if self.teachers and found.digest != self.teachers:
            progress.note("this extractor pool is not the one that computed the dataset's soft labels")
        return found

    def has_extractors(self) -> bool:
        """Return whether `extractors` finds a pool without training one."""
        if self.pool is not None:
            return True
        info = self.source.info
        try:
            place = self._place()
            if place is None or place == NONE:
                key = key_of_recipe(self.recipe, self.source.fingerprint, info.resolution, self.engine)
                return cached_pool(key, pulled=place is None) is not None
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
