"""Random draws of a step for the classes of a unit: real images, and the augmentations of both sides.

Each draw is a function of (seed, purpose, step, class label, place) by a counter-based generator, so that a class's
draws depend on no other class, no order and no number of processes, and those of all classes are made at once on the
device that uses them. Classes are keyed by their label in the source.

Legend: U classes of a unit with N real images in all; m decoded images of each class.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ncfm_hub.matching.augment import DRAWS, GEOMETRIES, Augmentation, draw_augmentation
from ncfm_hub.matching.philox import Stream, key_of, philox
from ncfm_hub.sources.types import Source

_WORDS = 4  # of one counter
Key = tuple[int, int]
Parameters = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
Number = int | torch.Tensor  # of a step or an entry; a tensor () where steps are replayed


class Draws:
    """The random draws of a run or a bank, by number of the step or entry.

    whose: "" or "bank ", so that a bank and a run of one seed differ
    synthetic: decoded images per class
    fuse: compiles a function where that pays
    """

    def __init__(
        self,
        source: Source,
        whose: str,
        seed: int,
        device: torch.device,
        *,
        real_batch: int,
        synthetic: int,
        flip: bool,
        cutout: bool,
        fuse: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
    ):
        self.real_batch, self.synthetic, self.device = real_batch, synthetic, device
        self._rows_of_class, self._labels = source.class_indices(), source.info.class_ids
        keys = {
            purpose: key_of(seed, whose + purpose)
            for purpose in ("real images", "geometry", "real augmentation", "synthetic augmentation")
        }
        sampled: dict[str, Any] = {"size": (source.info.resolution,) * 2, "flip": flip, "cutout": cutout}
        self._rows_as_written = partial(_rows, keys["real images"])
        self._rows = fuse(self._rows_as_written)
        self._geometry = partial(_geometry, keys["geometry"])
        self._real = fuse(partial(_real, keys["real augmentation"], **sampled))
        self._decoded = fuse(partial(_decoded, keys["synthetic augmentation"], synthetic, **sampled))
        self._units: dict[tuple[int, ...], _Unit] = {}

    def on_host(self) -> "Draws":
        """Return the same draws, made on the CPU, for which nothing is compiled."""
        other = copy(self)
        other.device, other._units, other._rows = torch.device("cpu"), {}, self._rows_as_written
        return other

    def sizes(self, classes: Sequence[int]) -> tuple[int, ...]:
        """Return how many real images each class has in a step: `real_batch`, or all of a smaller class."""
        return tuple(min(self.real_batch, len(self._rows_of_class[c])) for c in classes)

    def rows(self, number: Number, classes: Sequence[int]) -> torch.Tensor:
        """Choose real images without replacement: rows (N,) of the source's training images, ordered by class."""
        unit = self._unit(classes)
        found: torch.Tensor = unit.rows if unit.choice is None else self._rows(unit.rows, unit.choice, number)
        return found

    def geometry(self, number: Number, classes: Sequence[int]) -> torch.Tensor:
        """Sample the geometric transform of each class's images, on both sides: places in GEOMETRIES (U,)."""
        return self._geometry(self._unit(classes).labels, number)

    def real(self, number: Number, classes: Sequence[int], geometry: torch.Tensor) -> Augmentation:
        """Sample the augmentation of the real images (N,); geometry: of each class (U,)."""
        unit = self._unit(classes)
        return Augmentation(*self._real(unit.labels, unit.classes, unit.places, geometry, number))

    def decoded(self, number: Number, classes: Sequence[int], geometry: torch.Tensor) -> Augmentation:
        """Sample the augmentation of the decoded images (U m,); geometry: of each class (U,)."""
        return Augmentation(*self._decoded(self._unit(classes).labels, geometry, number))

    def sides(self, number: Number, classes: Sequence[int]) -> tuple[Augmentation, Augmentation]:
        """Sample the augmentations of the real and of the decoded images, of one geometric transform a class."""
        geometry = self.geometry(number, classes)
        return self.real(number, classes, geometry), self.decoded(number, classes, geometry)

    def _unit(self, classes: Sequence[int]) -> "_Unit":
        key = tuple(classes)
        if key not in self._units:
            rows = [self._rows_of_class[c] for c in classes]
            labels = torch.tensor([self._labels[c] for c in classes])
            self._units[key] = _tables(rows, labels, self.sizes(classes), self.device)
        return self._units[key]


def _rows(key: Key, rows: torch.Tensor, choice: "_Choice", number: Number) -> torch.Tensor:
    words = torch.stack(philox((choice.items, 0, choice.groups, number), key), 1)
    # Sorted by class, then by word; equal words keep their order, so that the result is the same on every device.
    keys = (choice.positions << 32) | words.flatten()[choice.drawn]
    return rows[keys.sort(stable=True).indices[choice.taken]]


def _geometry(key: Key, labels: torch.Tensor, number: Number) -> torch.Tensor:
    return Stream(key, torch.zeros_like(labels), labels, number).integers(len(GEOMETRIES))


def _real(
    key: Key,
    labels: torch.Tensor,
    classes: torch.Tensor,
    places: torch.Tensor,
    geometry: torch.Tensor,
    number: Number,
    **sampled: Any,
) -> Parameters:
    random = Stream(key, places, labels[classes], number, DRAWS)
    return draw_augmentation(random, geometry=geometry[classes], **sampled).tensors()


def _decoded(
    key: Key, images: int, labels: torch.Tensor, geometry: torch.Tensor, number: Number, **sampled: Any
) -> Parameters:
    random = Stream(key, torch.arange(images, device=labels.device), labels[:, None], number, DRAWS)
    return draw_augmentation(random, geometry=geometry[:, None], **sampled).tensors()


@dataclass(frozen=True)
class _Choice:
    """What choosing among a unit's images needs, M counters for all T of them.

    items, groups: (M,), counters; drawn: (T,), the word of each image; positions: (T,), its class in the unit
    taken: (N,), places of the chosen ones among the images sorted by class
    """

    items: torch.Tensor
    groups: torch.Tensor
    drawn: torch.Tensor
    positions: torch.Tensor
    taken: torch.Tensor


@dataclass(frozen=True)
class _Unit:
    """What the draws of a unit need and no step changes.

    labels: (U,); rows: (T,), all images of its classes; places, classes: (N,), of each real image within its class's
        batch, and its class in the unit
    choice: None if every class is used whole
    """

    labels: torch.Tensor
    rows: torch.Tensor
    places: torch.Tensor
    classes: torch.Tensor
    choice: _Choice | None


def _tables(rows: Sequence[torch.Tensor], labels: torch.Tensor, sizes: Sequence[int], device: torch.device) -> _Unit:
    counts = torch.tensor([len(some) for some in rows])
    taken = torch.tensor(sizes)
    choice = None
    if bool((taken < counts).any()):
        blocks = -(-counts // _WORDS)
        choice = _Choice(
            items=_ranges(blocks).to(device),
            groups=labels.repeat_interleave(blocks).to(device),
            drawn=(_ranges(counts) + _starts(blocks * _WORDS).repeat_interleave(counts)).to(device),
            positions=torch.arange(len(rows)).repeat_interleave(counts).to(device),
            taken=(_ranges(taken) + _starts(counts).repeat_interleave(taken)).to(device),
        )
    return _Unit(
        labels.to(device),
        torch.cat(list(rows)).to(device),
        _ranges(taken).to(device),
        torch.arange(len(rows)).repeat_interleave(taken).to(device),
        choice,
    )


def _starts(counts: torch.Tensor) -> torch.Tensor:
    """Return where each of several groups begins: [3, 2] -> [0, 3]."""
    return counts.cumsum(0) - counts


def _ranges(counts: torch.Tensor) -> torch.Tensor:
    """Return the place of each item within its group: [3, 2] -> [0, 1, 2, 0, 1]."""
    return torch.arange(int(counts.sum())) - _starts(counts).repeat_interleave(counts)
