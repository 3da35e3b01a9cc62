"""From a recipe's values to what the loops take: sizes chosen, everything plain."""

import math
from dataclasses import dataclass

from ncfm_hub.machine.engine import images_within
from ncfm_hub.recipes.schema import DistillationRecipe
from ncfm_hub.sources.types import SourceInfo

# Decoded images of a unit of work, and real images of one pass, at 32 px: on a CPU as many as make a step faster;
# many on a GPU. What they take grows with the pixels.
UNIT_IMAGES = {"cpu": 256, "cuda": 4096}
PASS_IMAGES = {"cpu": 128, "cuda": 1024}


@dataclass(frozen=True)
class DistillationSettings:
    """The values of a distillation, plain. Names as in `ncfm_hub.recipes.schema.DistillationRecipe`."""

    ipc: int
    seed: int
    steps: int
    real_batch: int
    frequencies: int
    frequency_scale: float
    orthogonal: bool
    matching: str
    alpha: float
    normalize_features: bool
    factor: int
    optimizer: str
    lr: float
    weight_decay: float
    schedule: str
    calibration: float
    sampling_network: bool
    sampling_objective: str
    sampling_lr: float
    sampling_momentum: float
    flip: bool
    cutout: bool
    bank: int | None
    bank_seed: int
    classes_at_once: int
    images_at_once: int


def settings_of(
    recipe: DistillationRecipe, info: SourceInfo, flip: bool, ipc: int, seed: int, device: str
) -> DistillationSettings:
    """A recipe's values as the distillation takes them, sizes of units and passes chosen."""
    values = recipe.model_dump(exclude={"checkpoint_every", "classes_at_once", "images_at_once"})
    classes, decoded = len(info.class_names), ipc * recipe.factor**2

    def limit(at_32_px: dict[str, int]) -> int:
        return images_within(at_32_px.get(device, at_32_px["cpu"]), info.resolution)

    return DistillationSettings(
        ipc=ipc,
        seed=seed,
        flip=flip,
        classes_at_once=recipe.classes_at_once or choose_classes_at_once(classes, decoded, limit(UNIT_IMAGES)),
        images_at_once=recipe.images_at_once or limit(PASS_IMAGES),
        **values,
    )


def choose_classes_at_once(classes: int, images_per_class: int, limit: int) -> int:
    """How many classes make a unit of work, so that their decoded images stay within `limit`.

    The largest divisor of `classes` within it gives all units one shape, for which networks are compiled once. Where
    that leaves more than half of the limit unused, as for primes, units are as equal as can be and the last is smaller.
    """
    most = min(classes, max(1, limit // images_per_class))
    divisor = max(d for d in range(1, most + 1) if classes % d == 0)
    if 2 * divisor >= most:
        return divisor
    return math.ceil(classes / math.ceil(classes / most))
