"""The batches of students, for several at once: order, augmentation and CutMix, drawn for many updates together.

A student's batches depend on its seed alone, not on the students beside it. Legend: U updates drawn together, K
students, B images in a batch, c channels, (H, W) resolution, C classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F

from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.placement import fits
from ncfm_hub.matching.augment import DRAWS, GEOMETRIES, Augmentation, augment, draw_augmentation
from ncfm_hub.matching.cutmix import CutMix, cutmix, draw_cutmix
from ncfm_hub.matching.philox import Stream, key_of, permutations
from ncfm_hub.networks.build import Architecture, normaliser
from ncfm_hub.networks.trainer import Batch

DRAWN_TOGETHER = 2**16  # images


@dataclass(frozen=True)
class TrainingSet:
    """Training data of a student.

    images: uint8 (N, c, H, W)
    labels: int64 (N,)
    targets: float32 (N, C), soft labels; None uses hard labels, which for a full training set of many classes take a
        thousandth of the memory
    """

    images: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor | None = None


@dataclass(frozen=True)
class BatchPlan:
    """How batches are made, as plain values.

    cutmix: probability of CutMix in an update; augment: DSA without cutout
    """

    updates: int
    batch_size: int
    cutmix: float
    flip: bool
    augment: bool


def student_batches(
    sets: Sequence[TrainingSet], seeds: Sequence[int], architecture: Architecture, plan: BatchPlan, engine: Engine
) -> Iterator[Batch]:
    """Yield images (K, B, c, H, W), normalised, and targets (K, B, C) on the device, for each update.

    sets, seeds: one of each student
    """
    size, device = (architecture.resolution, architecture.resolution), engine.device
    per_update = len(sets) * plan.batch_size
    together = max(1, DRAWN_TOGETHER // per_update)
    keys, stack = _keys(seeds, device), Stack(sets, architecture.classes, device)
    prepare = engine.fuse(partial(_prepared, normaliser(architecture, device)))
    for first in range(0, plan.updates, together):
        count = min(together, plan.updates - first)
        updates = torch.arange(first, first + count, device=device)
        rows = _orders(sets, keys["order"], first, count, plan.batch_size)
        drawn = _augmentations(keys, updates, plan, size) if plan.augment else None
        mixing = draw_cutmix(keys["cutmix"], updates, plan.batch_size, size, plan.cutmix)
        for update in range(count):
            own = None if drawn is None else drawn[update * per_update : (update + 1) * per_update]
            yield prepare(*stack.batch(rows[update]), own, mixing[update])


def _prepared(
    normalised: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    targets: torch.Tensor,
    drawn: Augmentation | None,
    mixing: CutMix,
) -> Batch:
    """Normalise, augment and mix images (K, B, c, H, W), uint8, and their targets (K, B, C)."""
    x = normalised(images.flatten(0, 1))
    if drawn is not None:
        x = augment(x, drawn)
    return cutmix(x.unflatten(0, images.shape[:2]), targets, mixing)


def one_hot(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Convert int64 (...) to float32 (..., C)."""
    return F.one_hot(labels, classes).float()


def _keys(seeds: Sequence[int], device: torch.device) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return the keys of each purpose, as two words (K,)."""
    found = {}
    for purpose in ("order", "geometry", "augmentation", "cutmix"):
        words = torch.tensor([key_of(seed, f"student {purpose}") for seed in seeds], device=device)
        found[purpose] = (words[:, 0], words[:, 1])
    return found


def _orders(
    sets: Sequence[TrainingSet], key: tuple[torch.Tensor, torch.Tensor], first_update: int, updates: int, batch: int
) -> torch.Tensor:
    """Return the rows (U, K, B) of batches from successive permutations: rows occur equally often."""
    first, count, device = first_update * batch, updates * batch, key[0].device
    found = torch.empty(len(sets), count, dtype=torch.int64, device=device)
    lengths = torch.tensor([len(some.labels) for some in sets])
    for length in lengths.unique().tolist():
        same = (lengths == length).nonzero()[:, 0].to(device)
        epochs = torch.arange(first // length, (first + count - 1) // length + 1, device=device)
        orders = permutations((key[0][same, None], key[1][same, None]), length, torch.zeros_like(epochs), epochs)
        found[same] = orders.flatten(1)[:, first % length :][:, :count]
    return found.unflatten(1, (updates, batch)).transpose(0, 1)


def _augmentations(
    keys: dict[str, tuple[torch.Tensor, torch.Tensor]], updates: torch.Tensor, plan: BatchPlan, size: tuple[int, int]
) -> Augmentation:
    """Sample DSA for updates (U,) of K students, flattened from (U, K, B); one geometric transform a batch."""
    numbers = updates[:, None]
    geometry = Stream(keys["geometry"], torch.zeros_like(numbers), 0, numbers).integers(len(GEOMETRIES))
    k0, k1 = keys["augmentation"]
    items = torch.arange(plan.batch_size, device=updates.device)
    random = Stream((k0[:, None], k1[:, None]), items, 0, numbers[..., None], DRAWS)
    return draw_augmentation(random, size, geometry=geometry[..., None], flip=plan.flip, cutout=False)


class Stack:
    """The training sets of K students, each set once, so that a batch of all students is one look-up."""

    def __init__(self, sets: Sequence[TrainingSet], classes: int, device: torch.device):
        distinct = list({id(some): some for some in sets}.values())
        self._classes, self._device = classes, device
        self._images, self._labels = (_joined([getattr(d, name) for d in distinct]) for name in ("images", "labels"))
        if fits([self._images], device):
            self._images, self._labels = self._images.to(device), self._labels.to(device)
        soft = [some for some in distinct if some.targets is not None]
        self._targets = _joined([some.targets for some in soft if some.targets is not None]) if soft else None
        place = self._images.device
        self._first = torch.tensor([_first(some, distinct) for some in sets], device=place)[:, None]
        self._soft = torch.tensor([k for k, some in enumerate(sets) if some.targets is not None], dtype=torch.int64)
        self._soft_first = torch.tensor([_first(sets[k], soft) for k in self._soft.tolist()], dtype=torch.int64)[
            :, None
        ]
        if self._targets is not None:
            self._targets = self._targets.to(place)
        self._soft, self._soft_first = self._soft.to(place), self._soft_first.to(place)

    def batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (K, B, c, H, W) and targets (K, B, C) of each student's rows (K, B), on the device."""
        rows = rows.to(self._images.device)
        every = rows + self._first
        if self._targets is None:
            targets = one_hot(self._labels[every], self._classes)
        elif len(self._soft) == len(rows):
            targets = self._targets[rows + self._soft_first]
        else:
            targets = one_hot(self._labels[every], self._classes)
            targets[self._soft] = self._targets[rows[self._soft] + self._soft_first]
        return self._images[every].to(self._device), targets.to(self._device)


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _first(wanted: TrainingSet, sets: Sequence[TrainingSet]) -> int:
    """Return the row at which a set begins among those joined."""
    place = next(number for number, some in enumerate(sets) if some is wanted)
    return sum(len(some.labels) for some in sets[:place])
