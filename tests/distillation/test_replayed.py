"""Steps that are captured once and replayed, as on a GPU, and what happens where that, or the memory, fails."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from ncfm_hub.distillation import distiller as module
from ncfm_hub.distillation import units
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.distillation.draws import Draws
from ncfm_hub.distillation.settings import DistillationSettings
from ncfm_hub.machine import graphs
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.graphs import FixedTensors, Repeated
from ncfm_hub.networks.build import build_network
from ncfm_hub.networks.capacity import footprint
from ncfm_hub.sources.types import Source
from tests.machine.test_engine import Notes
from tests.matching.tiny import NARROW, STANDARD, tiny_pool, tiny_settings

STEPS = 5
GPU = torch.device("cuda")
SETTINGS = [
    {"classes_at_once": 2, "cutout": False, "sampling_network": True, "orthogonal": True},
    {"classes_at_once": 3, "matching": "mean", "calibration": 0.0, "real_batch": 100, "bank": 3, "decoded_at_once": 3},
]


class Recorded:
    """A graph as CUDA captures it: the operations of one run on the tensors of that run, whatever Python says later."""

    def __init__(self, work: Callable[[], Any]):
        self.result = work()

        def flat() -> list[torch.Tensor]:
            return tensors_of(work())

        self._graph = make_fx(flat)()

    def replay(self) -> None:
        with torch.no_grad():
            for kept, new in zip(tensors_of(self.result), self._graph(), strict=True):
                kept.copy_(new)


def tensors_of(results: dict[int, Any]) -> list[torch.Tensor]:
    found = [(r.ncfd, r.cross_entropy, r.pixel_gradient, r.frequency_gradient) for r in results.values()]
    return [tensor for some in found for tensor in some if tensor is not None]


def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch, captured: Callable[[Any], tuple[Any, Any]]) -> None:
    """Steps keep their inputs at one address and are captured by `captured`, on the CPU."""

    def fixed(device: torch.device) -> FixedTensors:
        found = FixedTensors(device)
        found._copies = True
        return found

    monkeypatch.setattr(module, "FixedTensors", fixed)
    monkeypatch.setattr(module, "Repeated", lambda work, device, progress: Repeated(work, GPU, progress))
    monkeypatch.setattr(graphs, "captured", captured)


def run(
    source: Source, settings: DistillationSettings, engine: Engine, notes: Notes | None = None, name: str = NARROW
) -> torch.Tensor:
    distiller = Distiller(source, tiny_pool(source, name=name), settings, engine, notes)
    for number in range(STEPS):
        distiller.step(number)
    return torch.cat([distiller.stored.detach().flatten(), torch.tensor(distiller.curve).flatten()])


@pytest.fixture(autouse=True)
def cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("changes", SETTINGS, ids=["psi", "bank of means"])
def test_a_replayed_step_is_the_step(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """To the bit: what changes from step to step is read from fixed tensors alone."""
    settings = tiny_settings(steps=STEPS, **changes)
    expected = run(source, settings, engine)
    made: list[Recorded] = []

    def record(work: Callable[[], Any]) -> tuple[Recorded, Any]:
        made.append(Recorded(work))
        return made[-1], made[-1].result

    as_on_a_gpu(monkeypatch, record)
    assert torch.equal(run(source, settings, engine), expected)
    assert len(made) == 1


@pytest.mark.slow
def test_a_step_that_cannot_be_captured_is_run_as_it_is(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, notes = run(source, tiny_settings(steps=STEPS), engine), Notes()

    def refuse(work: Callable[[], Any]) -> tuple[Any, Any]:
        raise RuntimeError("CUDA error: operation not permitted\n when stream is capturing")

    as_on_a_gpu(monkeypatch, refuse)
    assert torch.equal(run(source, tiny_settings(steps=STEPS), engine, notes), expected)
    assert notes.said == [
        "no CUDA graph of a step here (CUDA error: operation not permitted when stream is capturing); steps are "
        "launched one operation at a time"
    ]


def out_of_memory(images: int, most: int) -> None:
    if images > most:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.slow
@pytest.mark.parametrize("replayed", [False, True])
def test_out_of_memory_halves_the_passes_and_goes_on(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch, replayed: bool
) -> None:
    """From the step at which it happens, which is not the first: another program may take the memory meanwhile."""
    settings = tiny_settings(steps=STEPS, classes_at_once=3, images_at_once=24, decoded_at_once=12)
    expected, notes = run(source, settings, engine, name=STANDARD), Notes()
    unit_step, calls = units.unit_step, [0]

    def limited(stored: Any, labels: Any, draw: Any, frequencies: Any, hybrids: Any, *rest: Any) -> Any:
        calls[0] += 1
        most = 6 if calls[0] > 2 else 100

        def of_real(images: torch.Tensor, augmentation: Any) -> torch.Tensor:
            out_of_memory(len(images), most)
            return hybrids[0](images, augmentation)

        def of_synthetic(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            out_of_memory(len(x), most)
            return hybrids[1](x)

        return unit_step(stored, labels, draw, frequencies, (of_real, of_synthetic), *rest)

    monkeypatch.setattr(units, "unit_step", limited)
    if replayed:
        as_on_a_gpu(monkeypatch, lambda work: (lambda made: (made, made.result))(Recorded(work)))
    found = run(source, settings, engine, notes, STANDARD)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert notes.said == [
        "out of memory: going on with 12 real and 6 decoded images at once",
        "out of memory: going on with 6 real and 3 decoded images at once",
    ]


def test_other_errors_and_passes_of_one_image_end_the_run(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in ("CUDA out of memory. Tried to allocate 2.00 GiB.", "shapes do not match"):

        def fail(*_: Any, error: str = error) -> None:
            raise RuntimeError(error)

        notes = Notes()
        monkeypatch.setattr(units, "unit_step", fail)
        settings = tiny_settings(images_at_once=4, decoded_at_once=2)
        with pytest.raises(RuntimeError, match=error.split(".")[0]):
            run(source, settings, engine, notes)
        assert len(notes.said) == (2 if "memory" in error else 0)


def test_on_a_gpu_passes_begin_with_what_the_memory_holds(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncfm_hub.networks.capacity.free_memory", lambda device: 10 * 2 * 360_000)
    settings = tiny_settings(classes_at_once=3, images_at_once=24, decoded_at_once=12)
    distiller = Distiller(source, tiny_pool(source, name=STANDARD), settings, engine)
    found = distiller.units
    one = footprint(build_network(distiller.pool.architecture), (3, 16, 16))
    room = 10 * 360_000 // one.kept
    assert 1 < room < 12
    found._fit(one)
    assert found.of_a_step.images_at_once == math.ceil(24 / math.ceil(24 / room))
    assert found.of_a_step.decoded_at_once == math.ceil(12 / math.ceil(12 / room))


def test_draws_on_the_host_are_those_of_the_device_as_they_are_written(source: Source) -> None:
    """A thread that fetches images ahead must not wait for a compiler."""

    def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
        def compiled(*given: Any) -> Any:
            assert isinstance(given[-1], torch.Tensor), "a number is compiled anew for each step"
            return function(*given)

        return compiled

    draws = Draws(source, "", 0, torch.device("cpu"), real_batch=5, synthetic=4, flip=True, cutout=True, fuse=fuse)
    with pytest.raises(AssertionError, match="compiled anew"):
        draws.rows(3, range(2))
    assert torch.equal(draws.on_host().rows(3, range(2)), draws.rows(torch.tensor(3), range(2)))


def test_the_bank_draws_by_tensors(source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    rows = Draws.rows

    def listen(draws: Draws, number: Any, classes: Any) -> torch.Tensor:
        seen.append(number)
        return rows(draws, number, classes)

    monkeypatch.setattr(Draws, "rows", listen)
    Distiller(source, tiny_pool(source), tiny_settings(bank=2), engine)
    assert seen
    assert all(isinstance(number, torch.Tensor) for number in seen)
