"""Sizes that are chosen automatically, and the estimate of a run."""

from dataclasses import replace

import pytest

from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture
from ncfm_hub.planning import cost
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


def distill_minutes(engine: Engine, **changes: object) -> float:
    recipe = load_pipeline("cifar10", preset="cpu", overrides={"distillation.ipc": 10}).recipe
    recipe = recipe.model_copy(update={"distillation": recipe.distillation.model_copy(update=changes)})
    return cost.estimate(recipe, EXTRACTOR, EXTRACTOR, 50_000, 10_000, True, engine, 10).distill_minutes


def test_the_estimate_knows_what_the_engine_and_a_bank_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "machine_speed", lambda device: 1e11)
    engine = plain_engine()
    plain = distill_minutes(engine, steps=400)
    assert distill_minutes(engine, steps=800) == pytest.approx(2 * plain)
    assert distill_minutes(replace(engine, native=True), steps=400) == pytest.approx(
        plain * cost.NETWORK_EFFICIENCY / cost.NATIVE_EFFICIENCY
    )
    real_side = plain - distill_minutes(engine, steps=400, real_batch=1)
    banked = distill_minutes(engine, steps=400, bank=100)
    assert banked == pytest.approx(plain - 0.75 * real_side, rel=0.02)
    assert distill_minutes(engine, steps=400, bank=5000) == pytest.approx(plain)  # only what is visited is computed
