"""How the images of a distilled dataset are augmented to train on them, as recorded with its accuracies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results

_LEAST = 1e-3  # deviation that is recorded; see `channel_statistics`


@dataclass(frozen=True)
class TrainingAugmentation:
    """Augmentation of students (evaluation networks).

    dsa: differentiable Siamese augmentation, without cutout
    flip: mirror half of the images; False for classes that a mirror changes, such as digits
    cutmix: probability of CutMix in a batch
    mean, std: per channel, of the source's training images in [0, 1], which students normalise by; None if not recorded
    """

    dsa: bool = True
    flip: bool = True
    cutmix: float = 0.5
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def read_augmentation(folder: Path) -> TrainingAugmentation:
    """Return the augmentation that the accuracies in `folder` were measured with; the default if none is recorded."""
    try:
        described, protocol = read_pipeline(folder), read_results(folder).get("protocol") or {}
    except DistilledError:  # the images can be read without these records
        return TrainingAugmentation()
    recipe, source = described.get("recipe") or {}, described.get("source") or {}
    # A later evaluation may have changed what the recipe says.
    sections = [protocol.get("recipe"), recipe.get("evaluation"), recipe.get("source")]

    def recorded(key: str, *kinds: type) -> Any:
        values: list[Any] = [section.get(key) for section in sections if isinstance(section, Mapping)]
        return next((value for value in values if type(value) in kinds and 0 <= value <= 1), None)

    found = {"dsa": recorded("augment", bool), "flip": recorded("flip", bool), "cutmix": recorded("cutmix", float, int)}
    found |= _statistics(source.get("mean"), source.get("std"))
    return TrainingAugmentation(**{name: value for name, value in found.items() if value is not None})


def _statistics(mean: Any, std: Any) -> dict[str, tuple[float, ...]]:
    """Return recorded mean and deviation per channel; empty unless they can be those of pixels in [0, 1]."""
    try:
        means, deviations = tuple(map(float, mean)), tuple(map(float, std))
    except (TypeError, ValueError, OverflowError):
        return {}
    sound = all(0 <= value <= 1 for value in means) and all(_LEAST <= value <= 1 for value in deviations)
    return {"mean": means, "std": deviations} if sound and len(means) == len(deviations) else {}
