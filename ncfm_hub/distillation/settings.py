"""Convert a recipe to complete settings of a distillation."""

import math

from ncfm_hub.machine.engine import images_within
from ncfm_hub.recipes.schema import LARGEST_BATCH, DistillationRecipe, PerClass, Wide
from ncfm_hub.sources.types import SourceInfo

# At 32 px; memory grows with the pixels.
UNIT_IMAGES = {"cpu": 256, "cuda": 4096}  # decoded images per unit of work
# The fastest sizes of passes on a CPU. A GPU takes a whole unit at once, as far as its memory holds (units.py).
PASS_IMAGES = 128  # real images per forward pass
DECODED_IMAGES = 1024  # decoded images per forward and backward pass


class DistillationSettings(DistillationRecipe):
    """Settings of a distillation: its recipe with sizes chosen, and what it needs of the source's recipe."""

    ipc: PerClass
    classes_at_once: Wide
    images_at_once: Wide
    decoded_at_once: Wide
    flip: bool


def settings_of(
    recipe: DistillationRecipe, info: SourceInfo, flip: bool, device: str, processes: int = 1
) -> DistillationSettings:
    """Return the settings for a recipe that has an ipc, with sizes of units and passes chosen.

    processes: which on a GPU have a unit each, if there are classes enough. On a CPU units do not depend on them, so
        that their number does not change the result.
    """
    assert recipe.ipc is not None

    on_gpu, classes, decoded = device == "cuda", len(info.class_names), recipe.ipc * recipe.factor**2
    limit = images_within(UNIT_IMAGES["cuda" if on_gpu else "cpu"], info.resolution)
    at_once = recipe.classes_at_once or choose_classes_at_once(classes, decoded, limit, processes if on_gpu else 1)
    real = min(LARGEST_BATCH, at_once * recipe.real_batch) if on_gpu else images_within(PASS_IMAGES, info.resolution)
    most = min(LARGEST_BATCH, at_once * decoded) if on_gpu else images_within(DECODED_IMAGES, info.resolution)
    chosen = {
        "classes_at_once": at_once,
        "images_at_once": recipe.images_at_once or real,
        "decoded_at_once": min(recipe.decoded_at_once or most, at_once * decoded),
    }
    return DistillationSettings.model_validate(recipe.model_dump() | chosen | {"flip": flip})


def choose_classes_at_once(classes: int, images_per_class: int, limit: int, units: int = 1) -> int:
    """Return the number of classes per unit of work: at least `units` of them, decoded images within `limit`.

    Units are as equal as the number of classes allows; passes of the last are padded to the shape of the others.
    """
    most = min(classes, max(1, limit // images_per_class))
    units = max(math.ceil(classes / most), min(units, classes))
    at_once = math.ceil(classes / units)
    return at_once if math.ceil(classes / at_once) == units else classes // units
