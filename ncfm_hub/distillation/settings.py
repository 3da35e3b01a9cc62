"""Convert a recipe to complete settings of a distillation."""

import math

from ncfm_hub.machine.engine import images_within
from ncfm_hub.recipes.schema import DistillationRecipe, PerClass, Wide
from ncfm_hub.sources.types import SourceInfo

# Decoded images per unit of work, and real images per forward pass, at 32 px: on a CPU the fastest sizes,
# many on a GPU. Memory grows with the pixels.
UNIT_IMAGES = {"cpu": 256, "cuda": 4096}
PASS_IMAGES = {"cpu": 128, "cuda": 1024}


class DistillationSettings(DistillationRecipe):
    """Settings of a distillation: its recipe with sizes chosen, and what it needs of the source's recipe."""

    ipc: PerClass
    classes_at_once: Wide
    images_at_once: Wide
    flip: bool


def settings_of(recipe: DistillationRecipe, info: SourceInfo, flip: bool, device: str) -> DistillationSettings:
    """Return the settings for a recipe that has an ipc, with sizes of units and passes chosen."""
    assert recipe.ipc is not None

    def limit(at_32_px: dict[str, int]) -> int:
        return images_within(at_32_px.get(device, at_32_px["cpu"]), info.resolution)

    classes, decoded = len(info.class_names), recipe.ipc * recipe.factor**2
    chosen = {
        "classes_at_once": recipe.classes_at_once or choose_classes_at_once(classes, decoded, limit(UNIT_IMAGES)),
        "images_at_once": recipe.images_at_once or limit(PASS_IMAGES),
    }
    return DistillationSettings.model_validate(recipe.model_dump() | chosen | {"flip": flip})


def choose_classes_at_once(classes: int, images_per_class: int, limit: int) -> int:
    """Return the number of classes per unit of work, so that their decoded images stay within `limit`.

    The largest divisor of `classes` within the limit gives all units one shape, for which networks are compiled once.
    If it uses less than half of the limit, as for primes, units are as equal as possible and the last is smaller.
    """
    most = min(classes, max(1, limit // images_per_class))
    divisor = max(d for d in range(1, most + 1) if classes % d == 0)
    if 2 * divisor >= most:
        return divisor
    return math.ceil(classes / math.ceil(classes / most))
