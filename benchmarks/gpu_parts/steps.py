"""Seconds a step and peak memory of the shapes of known datasets, with the host's share and that of the draws."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.gpu_parts.lease import Figures, Lease, Piece, Watch, peak_memory, synchronise
from benchmarks.gpu_parts.shapes import SHAPES, Shape, random_source
from benchmarks.step import fresh_pool
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.machine import graphs
from ncfm_hub.machine.engine import Engine
from ncfm_hub.matching.frequencies import normal_frequencies
from ncfm_hub.recipes.schema import DistillationRecipe, Recipe
from ncfm_hub.utils.seeding import generator, on_device


@dataclass(frozen=True)
class Effort:
    """How much is timed: steps one by one, before the graph is captured and after, then steps in a row for so long."""

    steps: int
    seconds: float


USUAL, LEAST = Effort(6, 3.0), Effort(1, 0.05)


def pieces(lease: Lease, recipe: Recipe, engine: Engine, tiny: bool) -> list[Piece]:
    """The reference work on every shape."""
    return [
        Piece(
            "step",
            shape.name,
            60,
            lambda shape=shape: measure(
                lease, shape.tiny() if tiny else shape, recipe.distillation, engine, LEAST if tiny else USUAL
            ),
        )
        for shape in SHAPES
    ]


def measure(lease: Lease, shape: Shape, values: DistillationRecipe, engine: Engine, effort: Effort) -> Figures:
    """Time the step of a shape."""
    source = random_source(shape)
    settings = settings_of(
        values.model_copy(update={"ipc": shape.ipc}), source.info, True, engine.device.type, engine.processes
    )
    with warm_for(1 + effort.steps):
        distiller, began = Distiller(source, fresh_pool(source), settings, engine, Watch(lease)), time.perf_counter()
        number = itertools.count()
        timed(lambda: distiller.step(next(number)))
        first = time.perf_counter() - began
        warm = [timed(lambda: distiller.step(next(number))) for _ in range(effort.steps)]
        distiller.step(next(number))  # on a GPU it is captured here, and replayed from now on
        single = [timed(lambda: distiller.step(next(number))) for _ in range(effort.steps)]
        step = many(lambda: distiller.step(next(number)), effort.seconds)
        draws = many(draw_alone(distiller), effort.seconds / 10)
    host, whole = (statistics.median(some) for some in zip(*single, strict=True))
    return {
        "real_images": sum(distiller.units.draws.sizes(range(shape.classes))),
        "decoded_images": shape.classes * shape.ipc * settings.factor**2,
        "units": len(distiller.units.all),
        "first_step_seconds": round(first, 2),
        "launched_ms": milliseconds(statistics.median(both for _, both in warm)),
        "step_ms": milliseconds(step),
        "alone_ms": milliseconds(whole),
        "host_ms": milliseconds(host),
        "draws_ms": milliseconds(draws),
        **peak_memory(),
    }


@contextmanager
def warm_for(calls: int) -> Iterator[None]:
    """Capture later than a run does, so that steps that are launched one operation at a time can be timed."""
    before = graphs.WARM_UP
    graphs.WARM_UP = calls
    try:
        yield
    finally:
        graphs.WARM_UP = before


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds until the call returns, and until the device is done."""
    synchronise()
    began = time.perf_counter()
    work()
    returned = time.perf_counter()
    synchronise()
    return returned - began, time.perf_counter() - began


def many(work: Callable[[], object], seconds: float) -> float:
    """Seconds of a call, when calls follow each other and only the last is waited for."""
    count = max(3, min(300, int(seconds / max(timed(work)[1], 1e-6))))
    synchronise()
    began = time.perf_counter()
    for _ in range(count):
        work()
    synchronise()
    return (time.perf_counter() - began) / count


def draw_alone(distiller: Distiller) -> Callable[[], object]:
    """The draws of a step and nothing else, captured as a step is."""
    units, engine, settings = distiller.units, distiller.engine, distiller.settings
    number = graphs.FixedTensors(engine.device).number("number", 0)

    def of_units() -> list[object]:
        some = [units.all[unit] for unit in units.mine]
        return [(units.draws.rows(number, c), *units.draws.sides(number, c)) for c in some]

    repeated = graphs.Repeated(of_units, engine.device, distiller.progress)
    draws = on_device(generator(0, "benchmark"), engine.device)

    def work() -> None:
        repeated()
        normal_frequencies(settings.frequencies, distiller.dimension, 1.0, draws, settings.orthogonal)

    for _ in range(graphs.WARM_UP + 1):
        work()
    return work


def milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)
