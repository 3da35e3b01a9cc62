"""Class-incremental learning: the order in which classes arrive, and a dataset restricted to the classes seen so far.

Legend: C classes, k of them seen so far, N images, n of them of seen classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ncfm_hub.errors import DistilledError
from ncfm_hub.evaluation.batches import TrainingSet, one_hot
from ncfm_hub.sources.rows import rows_of_classes
from ncfm_hub.sources.types import ImageSet
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.seeding import generator


@dataclass(frozen=True)
class ClassOrder:
    """A random class order, and the seed of its students and random memories."""

    classes: tuple[int, ...]
    seed: int


def class_orders(classes: int, count: int, seed: int) -> list[ClassOrder]:
    """Return `count` random permutations of the classes; the first ones do not depend on `count`."""
    orders = []
    for number in range(count):
        draws = generator(seed, "class order", number)
        order = tuple(torch.randperm(classes, generator=draws).tolist())
        orders.append(ClassOrder(order, int(torch.randint(2**31, (), generator=draws))))
    return orders


def classes_after(classes: int, steps: int) -> list[int]:
    """Return the number of classes seen after each step; if they do not divide evenly, the first steps get one more.

    Raises DistilledError unless every step adds a class.
    """
    if not 1 <= steps <= classes:
        raise DistilledError(
            f"{counted(classes, 'class')} cannot come in {counted(steps, 'step')}; give 1 to {classes} by --steps"
        )
    each, more = divmod(classes, steps)
    return [each * step + min(step, more) for step in range(1, steps + 1)]


def training_of_seen(training: TrainingSet, seen: Sequence[int]) -> TrainingSet:
    """Restrict training data over all classes (targets (N, C)) to the seen ones, in its own order.

    Labels become 0..k-1 in the order seen. Soft targets (n, k) are renormalised over the seen classes; a row with no
    probability there becomes its hard label.
    """
    rows, labels = rows_of_classes(training.labels, seen)
    if training.targets is None:
        return TrainingSet(training.images[rows], labels)
    kept = training.targets[rows][:, list(seen)].double()
    total = kept.sum(1, keepdim=True)
    alone = one_hot(labels, len(seen)).double()
    return TrainingSet(training.images[rows], labels, torch.where(total > 0, kept / total, alone).float())


def images_of_seen(images: ImageSet, seen: Sequence[int]) -> ImageSet:
    """Restrict images to the seen classes, in their own order; labels become 0..k-1 in the order seen."""
    rows, labels = rows_of_classes(images.labels, seen)
    return ImageSet(images.images[rows], labels)
