"""From a recipe's values to what the loops take: sizes chosen, everything plain."""

from ncfm_hub.distillation.distiller import DistillationSettings
from ncfm_hub.distillation.loop import choose_classes_at_once
from ncfm_hub.evaluation.protocol import updates_of
from ncfm_hub.evaluation.students import StudentPlan
from ncfm_hub.machine.engine import images_within
from ncfm_hub.recipes.schema import DistillationRecipe, EvaluationRecipe
from ncfm_hub.sources.types import SourceInfo

# Decoded images of a unit of work, and real images of one pass, at 32 px: on a CPU as many as make a step faster;
# many on a GPU. What they take grows with the pixels.
UNIT_IMAGES = {"cpu": 256, "cuda": 4096}
PASS_IMAGES = {"cpu": 128, "cuda": 1024}


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


def student_plan(recipe: EvaluationRecipe, flip: bool, images: int) -> StudentPlan:
    """A recipe's values as students take them; `images`: of the distilled set."""
    return StudentPlan(
        updates=updates_of(recipe.updates, recipe.epochs, images, recipe.batch_size),
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        schedule=recipe.schedule,
        cutmix=recipe.cutmix,
        flip=flip,
        augment=recipe.augment,
    )
