"""Timing the work of a run before it starts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ncfm_hub.machine import native
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.kernels import available
from ncfm_hub.networks.build import Architecture
from ncfm_hub.planning import rates, timing
from ncfm_hub.planning.rates import decoded_rate, real_rate, trained_rate
from ncfm_hub.recipes.schema import DistillationRecipe
from tests.matching.tiny import tiny_settings

NETWORK = Architecture("convnet-d2-w16-instance-relu-max", 3, 3, 8, (0.5,) * 3, (0.25,) * 3)
STANDARD = replace(NETWORK, name="ncfm_convnet3", resolution=16)


def recipe(**changes: Any) -> DistillationRecipe:
    values = tiny_settings().model_dump(include=set(DistillationRecipe.model_fields))
    return DistillationRecipe.model_validate(values | changes)


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_measured", {})


@pytest.fixture
def constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call takes a second."""
    monkeypatch.setattr(rates, "seconds_a_call", lambda call: 1.0)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is in the cache, and nothing can be compiled or built."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("compiled or built")

    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch, "compile", refuse)
    monkeypatch.setattr(native, "_build", refuse)
    monkeypatch.setattr(available, "native_library", refuse)


def test_a_call_is_timed_after_one_that_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0, 9.0, 9.0, 10.0, 13.0, 30.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(timing, "SECONDS", 10)
    calls: list[int] = []
    assert timing.seconds_a_call(lambda: calls.append(1)) == 3  # the median of 5, 2 and 3
    assert len(calls) == 4


def test_it_is_timed_once_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SECONDS", 0)
    calls: list[int] = []
    assert timing.seconds_a_call(lambda: calls.append(1)) >= 0
    assert len(calls) == 2


@pytest.mark.parametrize("changes", [{}, {"matching": "mean"}, {"calibration": 0.0}, {"sampling_network": True}])
def test_both_sides_of_a_step_have_a_rate(engine: Engine, changes: dict[str, Any]) -> None:
    assert real_rate(NETWORK, recipe(**changes), engine) > 0
    assert decoded_rate(NETWORK, recipe(**changes), engine) > 0


@pytest.mark.parametrize("name", ["convnet-d2-w16-instance-relu-max", "convnet-d2-w16-batch-relu-max"])
def test_training_has_a_rate(engine: Engine, name: str) -> None:
    assert trained_rate(replace(NETWORK, name=name), 16, engine) > 0


@pytest.mark.usefixtures("constant")
def test_rates_count_the_images_of_a_call(engine: Engine) -> None:
    # A second for a pass through the network, and one for the statistics of a class.
    assert real_rate(NETWORK, recipe(images_at_once=8, real_batch=24), engine) == pytest.approx(1 / (1 / 8 + 1 / 24))
    assert real_rate(NETWORK, recipe(images_at_once=None, real_batch=192), engine) == pytest.approx(
        1 / (1 / rates.IMAGES["cpu"] + 1 / 192)
    )
    assert real_rate(NETWORK, recipe(images_at_once=8, real_batch=50_000), engine) == pytest.approx(
        1 / (1 / 8 + 1 / rates.CLASS)
    )
    assert decoded_rate(NETWORK, recipe(ipc=2, classes_at_once=3), engine) == 2 * 4 * 3
    assert decoded_rate(NETWORK, recipe(ipc=2, classes_at_once=None), engine) == 2 * 4 * 3
    assert decoded_rate(NETWORK, recipe(ipc=50, classes_at_once=None), engine) == rates.IMAGES["cpu"]
    assert trained_rate(NETWORK, 16, engine) == 16
    assert trained_rate(NETWORK, 4096, engine) == rates.IMAGES["cpu"]
    assert trained_rate(replace(NETWORK, resolution=64), 128, engine) == rates.IMAGES["cpu"] / 4


def test_networks_trained_at_once_are_timed_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "networks_at_once", lambda *_: 3)
    monkeypatch.setattr(rates, "seconds_a_call", lambda call: call() or 2.0)
    assert trained_rate(NETWORK, 16, engine) == 3 * 16 / 2


def test_what_was_timed_is_not_timed_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[object] = []
    monkeypatch.setattr(rates, "seconds_a_call", lambda call: timed.append(call) or 1.0)
    for same in ({}, {"steps": 7}, {"bank": 5}, {"real_batch": 3}, {"seed": 3}):
        decoded_rate(NETWORK, recipe(**same), engine)
    assert len(timed) == 1
    decoded_rate(NETWORK, recipe(frequencies=32), engine)
    decoded_rate(replace(NETWORK, classes=4), recipe(), engine)
    decoded_rate(NETWORK, recipe(), replace(engine, precision="bf16"))
    assert len(timed) == 4
    for real_batch in (8, 8, 3):
        real_rate(NETWORK, recipe(real_batch=real_batch), engine)
    assert len(timed) == 4 + 2 * 2


@pytest.mark.usefixtures("constant", "refusing", "compiler")
def test_what_a_run_compiles_or_builds_is_reckoned_not_done(engine: Engine) -> None:
    of_a_cpu = replace(engine, compiled="ConvNets", native=True)
    for architecture, of_run, gain in (
        (STANDARD, of_a_cpu, rates.NATIVE),
        (NETWORK, replace(of_a_cpu, native=False), rates.COMPILED),
        (replace(STANDARD, name="resnet10t", resolution=32), of_a_cpu, rates.NONE),
    ):
        assert real_rate(architecture, recipe(), of_run) == pytest.approx(4 * gain.real)
        assert decoded_rate(architecture, recipe(), of_run) == pytest.approx(4 * gain.decoded)
        assert trained_rate(architecture, 4, of_run) == pytest.approx(4 * gain.training)


@pytest.mark.usefixtures("constant", "compiler")
def test_kernels_that_are_built_are_timed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "native_built", lambda: True)
    switched: list[object] = []
    monkeypatch.setattr("ncfm_hub.networks.frozen.run_natively", lambda network: switched.append(network) or True)
    assert real_rate(STANDARD, recipe(), replace(engine, compiled="ConvNets", native=True)) == 4
    assert len(switched) == 1


def test_random_numbers_of_a_run_do_not_depend_on_the_timing(engine: Engine) -> None:
    before = torch.random.get_rng_state()
    trained_rate(NETWORK, 4, engine)
    real_rate(NETWORK, recipe(), engine)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_estimate_that_memory_is_too_small_for_is_tried_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(call: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(rates, "seconds_a_call", too_large)
        with pytest.raises(torch.OutOfMemoryError):
            trained_rate(NETWORK, 4, engine)
    assert trained_rate(NETWORK, 4, engine) > 0
