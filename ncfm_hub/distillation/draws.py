"""What is drawn in a step: real images and augmentations, class by class, and the generator of what classes share.

Every draw comes from a generator of its own key, so that it depends on no other draw and on no order. Classes are keyed
by their label in the source: what one of them draws does not depend on which others are distilled with it.
"""

from collections.abc import Callable, Sequence

import torch

from ncfm_hub.matching.augment import Augmentation, draw_augmentation, draw_geometry, join
from ncfm_hub.matching.step import UnitDraw
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.seeding import generator


class Draws:
    """The draws of a run, or of a bank, by the number of the step or entry.

    whose: "" or "bank ", so that a bank and a run of one seed differ; synthetic: decoded images of a class
    """

    def __init__(
        self, source: Source, whose: str, seed: int, *, real_batch: int, synthetic: int, flip: bool, cutout: bool
    ):
        self.source, self.whose, self.seed = source, whose, seed
        self.real_batch, self.synthetic = real_batch, synthetic
        self.flip, self.cutout = flip, cutout
        self.rows, self.labels = source.class_indices(), source.info.class_ids

    def shared(self, number: int) -> torch.Generator:
        """For what all classes have in common: hybrid extractor and frequencies."""
        return generator(self.seed, f"{self.whose}step", number)

    def geometry(self, number: int, class_: int) -> str:
        """What a class's images undergo, on both sides."""
        return draw_geometry(self._of_class(number, class_))

    def unit(self, number: int, classes: Sequence[int]) -> UnitDraw:
        """Real images without replacement (all of a class, if it has fewer), and the augmentations of both sides."""
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
        """As `unit`, without real images: geometries are those that a bank's real images have undergone."""
        found = [self._augmentation(self.synthetic, self._of_class(number, c), geometry_of(c)) for c in classes]
        joined = join(found)
        return UnitDraw(self.source.train.images[:0], (0,) * len(found), joined[:0], joined)

    def _of_class(self, number: int, class_: int) -> torch.Generator:
        return generator(self.seed, f"{self.whose}class step", number, self.labels[class_])

    def _augmentation(self, count: int, draws: torch.Generator, geometry: str) -> Augmentation:
        size = (self.source.info.resolution, self.source.info.resolution)
        return draw_augmentation(count, size, draws, geometry=geometry, flip=self.flip, cutout=self.cutout)
