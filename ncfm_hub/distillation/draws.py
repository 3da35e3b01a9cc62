"""Random draws of a step: real images and augmentations per class, and a generator for what classes share.

Each draw has a generator with its own key, so that it depends neither on other draws nor on their order. Classes are
keyed by their label in the source, so that a class's draws do not depend on the other classes.
"""

from collections.abc import Callable, Sequence

import torch

from ncfm_hub.matching.augment import Augmentation, draw_augmentation, draw_geometry, join
from ncfm_hub.matching.step import UnitDraw
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.seeding import generator


class Draws:
    """The random draws of a run or a bank, by number of the step or entry.

    whose: "" or "bank ", so that a bank and a run of one seed differ
    synthetic: decoded images per class
    """

    def __init__(
        self, source: Source, whose: str, seed: int, *, real_batch: int, synthetic: int, flip: bool, cutout: bool
    ):
        self.source, self.whose, self.seed = source, whose, seed
        self.real_batch, self.synthetic = real_batch, synthetic
        self.flip, self.cutout = flip, cutout
        self.rows, self.labels = source.class_indices(), source.info.class_ids

    def shared(self, number: int) -> torch.Generator:
        """Return the generator for what all classes share: hybrid extractor and frequencies."""
        return generator(self.seed, f"{self.whose}step", number)

    def geometry(self, number: int, class_: int) -> str:
        """Sample the geometric transform of a class's images, for both sides."""
        return draw_geometry(self._of_class(number, class_))

    def unit(self, number: int, classes: Sequence[int]) -> UnitDraw:
        """Sample real images without replacement (all of a smaller class), and the augmentations of both sides."""
        images: list[torch.Tensor] = []
        of_real: list[Augmentation] = []
        of_synthetic: list[Augmentation] = []
        for c in classes:
            draws = self._of_class(number, c)
            geometry = draw_geometry(draws)
            chosen = self.rows[c][torch.randperm(len(self.rows[c]), generator=draws)[: self.real_batch]]
            images.append(self.source.train.images[chosen])
            of_real.append(self._augmentation(len(chosen), draws, geometry))
            of_synthetic.append(self._augmentation(self.synthetic, draws, geometry))
        return UnitDraw(torch.cat(images), tuple(len(some) for some in images), join(of_real), join(of_synthetic))

    def synthetic_unit(self, number: int, classes: Sequence[int], geometry_of: Callable[[int], str]) -> UnitDraw:
        """Sample a unit without real images; geometries are those of a bank's real images."""
        found = [self._augmentation(self.synthetic, self._of_class(number, c), geometry_of(c)) for c in classes]
        joined = join(found)
        return UnitDraw(self.source.train.images[:0], (0,) * len(found), joined[:0], joined)

    def _of_class(self, number: int, class_: int) -> torch.Generator:
        return generator(self.seed, f"{self.whose}class step", number, self.labels[class_])

    def _augmentation(self, count: int, draws: torch.Generator, geometry: str) -> Augmentation:
        size = (self.source.info.resolution, self.source.info.resolution)
        return draw_augmentation(count, size, draws, geometry=geometry, flip=self.flip, cutout=self.cutout)
