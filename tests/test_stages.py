"""Sizes that are chosen automatically, and the estimate of a run."""

from dataclasses import replace
from typing import Any

import pytest

from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.networks.build import Architecture
from ncfm_hub.planning import cost
from ncfm_hub.planning.cost import Cost
from ncfm_hub.recipes.resolve import load_pipeline
from tests.matching.tiny import plain_engine, tiny_source

EXTRACTOR = Architecture("ncfm_convnet3", 10, 3, 32, (0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("resolution", "device", "classes_at_once", "images_at_once"),
    [
        (16, "cpu", 6, 128),
        (32, "cpu", 6, 128),
        (64, "cpu", 1, 32),
        (128, "cpu", 1, 8),
        (32, "cuda", 6, 6 * 64),  # the preset's real batch
        (128, "cuda", 6, 6 * 64),
        (32, "mps", 6, 128),
    ],
)
def test_sizes_of_units_and_passes_follow_device_and_resolution(
    resolution: int, device: str, classes_at_once: int, images_at_once: int
) -> None:
    """At 10 stored images: 40 decoded ones of each of 6 classes."""
    info = replace(tiny_source(classes=6).info, resolution=resolution)
    recipe = load_pipeline("digits", preset="cpu", overrides={"distillation.ipc": 10}).recipe.distillation
    settings = settings_of(recipe, info, True, device)
    assert (settings.classes_at_once, settings.images_at_once) == (classes_at_once, images_at_once)
    given = recipe.model_copy(update={"classes_at_once": 3, "images_at_once": 7})
    settings = settings_of(given, info, True, device)
    assert (settings.classes_at_once, settings.images_at_once) == (3, 7)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second takes 100 real images, 50 decoded ones, and 20 in training."""
    for name, rate in (("real_rate", 100.0), ("decoded_rate", 50.0), ("trained_rate", 20.0)):
        monkeypatch.setattr(cost, name, lambda *_, rate=rate: rate)


def minutes(new_classes: int = 10, ready: bool = False, **changes: Any) -> Cost:
    """Of CIFAR-10 at 10 stored images; changes: `section__key`."""
    recipe = load_pipeline("cifar10", preset="cpu", overrides={"distillation.ipc": 10}).recipe
    for name, value in changes.items():
        section, key = name.split("__")
        part = getattr(recipe, section).model_copy(update={key: value})
        recipe = recipe.model_copy(update={section: part})
    found = cost.estimate(recipe, EXTRACTOR, EXTRACTOR, 50_000, 10_000, ready, plain_engine(), new_classes)
    assert found is not None
    return found


STEPS = {"distillation__steps": 400, "distillation__real_batch": 128}


@pytest.mark.usefixtures("rates")
def test_a_step_takes_its_real_and_decoded_images() -> None:
    a_step = 10 * 128 / 100 + 10 * 40 / 50  # seconds
    assert minutes(**STEPS).distill_minutes == pytest.approx(400 * a_step / 60)
    assert minutes(**STEPS, new_classes=3).distill_minutes == pytest.approx(400 * 0.3 * a_step / 60)
    assert minutes(**STEPS | {"distillation__real_batch": 90_000}).distill_minutes == pytest.approx(
        400 * (50_000 / 100 + 10 * 40 / 50) / 60
    )


@pytest.mark.usefixtures("rates")
@pytest.mark.parametrize(("bank", "computed"), [(100, 100), (5000, 400)])
def test_the_real_side_is_computed_once_for_each_entry_visited(bank: int, computed: int) -> None:
    seconds = computed * 10 * 128 / 100 + 400 * 10 * 40 / 50
    assert minutes(**STEPS, distillation__bank=bank).distill_minutes == pytest.approx(seconds / 60)


@pytest.mark.usefixtures("rates")
def test_a_pool_takes_its_epochs_unless_it_is_there() -> None:
    assert minutes(pool__size=3, pool__epochs=2).pool_minutes == pytest.approx(3 * 2 * 50_000 / 20 / 60)
    assert minutes(ready=True).pool_minutes == 0


@pytest.mark.usefixtures("rates")
def test_every_student_of_every_row_takes_its_updates_and_a_test() -> None:
    few = {"evaluation__students": 2, "evaluation__updates": 780, "evaluation__batch_size": 100}
    a_student = (780 * 100 + (10_000 + 400) / 3) / 20  # seconds; tested on 400 images of its own, too
    hard = {"evaluation__soft_labels": False, "evaluation__baselines": ["start"]}
    assert minutes(**few, **hard).evaluate_minutes == pytest.approx(2 * 2 * a_student / 60)
    soft = minutes(**few, evaluation__baselines=["random", "start"])  # random and distilled in both ways
    assert soft.evaluate_minutes == pytest.approx(5 * 2 * a_student / 60)
    two = minutes(**few, **hard, evaluation__architectures=["vgg11"])
    assert two.evaluate_minutes == pytest.approx(2 * 2 * 2 * a_student / 60)
    means = minutes(**few, **STEPS, evaluation__soft_labels=False, evaluation__baselines=["dm"])
    assert means.evaluate_minutes == pytest.approx(2 * 2 * a_student / 60 + means.distill_minutes)
    assert minutes(evaluation__students=0, evaluation__baselines=["dm"]).evaluate_minutes == 0
