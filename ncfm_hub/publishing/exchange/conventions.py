"""How benchmarks name and normalise the datasets they know, taken from their loaders.

A benchmark tests on images normalised by these values, so they are part of its format.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ncfm_hub.errors import DistilledError

if TYPE_CHECKING:
    import torch

Benchmark = Literal["dd-ranking", "dc-bench"]
TITLES: Mapping[Benchmark, str] = {"dd-ranking": "DD-Ranking", "dc-bench": "DC-Bench"}


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and std to normalise with: (pixel - mean) / std, per channel, for pixels in [0, 1].

    origin: where they come from, in words: "given", "of ..."
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str

    def apply(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """Return (N, c, H, W) in [0, 1] normalised."""
        mean, std = self._shaped()
        return (pixels - mean) / std

    def undo(self, values: "torch.Tensor") -> "torch.Tensor":
        """Return normalised (N, c, H, W) as pixels in [0, 1]."""
        mean, std = self._shaped()
        return values * std + mean

    def _shaped(self) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return mean, std

    def as_dict(self) -> dict[str, object]:
        return {"mean": list(self.mean), "std": list(self.std), "origin": self.origin}


@dataclass(frozen=True)
class Convention:
    """A dataset as defined by a benchmark.

    name: the benchmark's name for it
    classes: their number; labels 0..classes-1 follow the order of the Hub's copy
    resolution: px
    mean, std: per channel, for pixels in [0, 1]
    """

    name: str
    classes: int
    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


_CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# By pipeline name. DD-Ranking 0.2.0 (ddranking/utils/data.py) also has six subsets of ImageNet, which are
# omitted, since it orders their classes differently from the Hub's copies. DC-Bench: evaluator/evaluator_utils.py.
CONVENTIONS: Mapping[Benchmark, Mapping[str, Convention]] = {
    "dd-ranking": {
        "cifar10": Convention("CIFAR10", 10, 32, *_CIFAR),
        "cifar100": Convention("CIFAR100", 100, 32, *_CIFAR),
        "tiny-imagenet": Convention("TinyImageNet", 200, 64, *_IMAGENET),
    },
    "dc-bench": {
        "cifar10": Convention("CIFAR10", 10, 32, *_CIFAR),
        "cifar100": Convention("CIFAR100", 100, 32, (0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
        "tiny-imagenet": Convention("tinyimagenet", 200, 64, *_IMAGENET),
    },
}


def convention_of(
    benchmark: Benchmark, name: str, class_ids: Sequence[int], channels: int, resolution: int
) -> Convention | None:
    """Return a benchmark's convention for a pipeline; None if it lacks the dataset or has other classes or pixels.

    class_ids: labels in the source of the classes used, in order
    """
    found = CONVENTIONS[benchmark].get(name)
    if found is None or list(class_ids) != list(range(found.classes)):
        return None
    return found if (channels, resolution) == (len(found.mean), found.resolution) else None


def choose_figures(
    benchmark: Benchmark,
    known: Convention | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    images: "torch.Tensor",
    what: str,
) -> PixelStatistics:
    """Return the given mean and std, else the benchmark's own for its dataset, else the statistics of `images`.

    images: uint8 (N, c, H, W)
    what: describes `images` in the origin
    Raises DistilledError unless there is one mean and one positive std per channel.
    """
    from ncfm_hub.networks.build import channel_statistics

    if mean is None and std is None:
        if known:
            return PixelStatistics(known.mean, known.std, f"of {TITLES[benchmark]} for {known.name}")
        return PixelStatistics(*channel_statistics(images), what)
    channels = images.shape[1]
    if not mean or not std or len(mean) != channels or len(std) != channels or not all(0 < value <= 1 for value in std):
        raise DistilledError(
            f"--mean {_shown(mean)} and --std {_shown(std)} do not fit images of {channels} channels: expected both, "
            "one figure a channel, for pixels from 0 to 1"
        )
    return PixelStatistics(tuple(mean), tuple(std), "given")


def _shown(values: Sequence[float] | None) -> str:
    return ",".join(map(str, values)) if values else "(none)"
