"""Images per second in the training of extractors and of students, batches and tests included, and a run's minutes."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.gpu_parts.lease import Figures, Lease, Piece, Skip, Watch, peak_memory
from benchmarks.gpu_parts.shapes import SHAPES, random_source, student_of
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.protocol import Row, measure
from ncfm_hub.evaluation.students import Students, student_plan
from ncfm_hub.extractors.cache import get_pool
from ncfm_hub.machine.engine import Engine
from ncfm_hub.recipes.schema import Recipe, updates_of
from ncfm_hub.sources.types import Source

SHAPE = SHAPES[0]
# Of the run that is projected: random and distilled images, hard and soft, and the start.
ROWS, STUDENTS = 5, 10
EPOCHS, UPDATES = 2, 200  # that are timed


def pieces(lease: Lease, recipe: Recipe, engine: Engine, tiny: bool) -> list[Piece]:
    """A pool, students, and what follows from them."""
    shape, updates, count = (SHAPE.tiny(), 4, 1) if tiny else (SHAPE, UPDATES, STUDENTS)
    return [
        Piece("rate", "pool", 70, lambda: pool(lease, recipe, engine, random_source(shape))),
        Piece("rate", "students", 60, lambda: students(lease, recipe, engine, random_source(shape), updates, count)),
        Piece("rate", "projection", 0, lambda: projection(lease, recipe)),
    ]


def pool(lease: Lease, recipe: Recipe, engine: Engine, source: Source) -> Figures:
    """Train a pool of the recipe's size for a few epochs, as a run does."""
    watch, values = Watch(lease), recipe.pool.model_copy(update={"epochs": EPOCHS})
    began = time.perf_counter()
    with cache_of_its_own():
        get_pool(source, recipe.source.flip, values, engine, watch)
    return {"members": values.size, "epochs": EPOCHS, **rate_of(watch, "pretraining", values.batch_size, began)}


def students(lease: Lease, recipe: Recipe, engine: Engine, source: Source, updates: int, count: int) -> Figures:
    """Train and test `count` students of every row of a table."""
    watch, every, images = Watch(lease), source.train, decoded_images(recipe)
    rows = [
        Row(f"images {number}", "hard", TrainingSet(every.images[some], every.labels[some]), images)
        for number, some in enumerate(torch.randint(len(every.labels), (ROWS, images)))
    ]
    plan = student_plan(recipe.evaluation.model_copy(update={"updates": updates}), recipe.source.flip, images)
    architecture, began = student_of(source), time.perf_counter()
    measure(rows, source.tested_on(), Students(architecture, plan, engine), range(count), engine, None, watch)
    return {"students": ROWS * count, "updates": updates, **rate_of(watch, "evaluating", plan.batch_size, began)}


def decoded_images(recipe: Recipe) -> int:
    """Return the number of images that students of the shape are trained on."""
    return SHAPE.classes * SHAPE.ipc * recipe.distillation.factor**2


def rate_of(watch: Watch, what: str, batch_size: int, began: float) -> Figures:
    bar = watch.bars[what]
    seconds = time.perf_counter() - began
    return {
        "at_once": bar.at_once,
        "images_per_second": round(batch_size * bar.rate),
        "with_compilation": round(batch_size * bar.done / seconds),
        "compilation_seconds": round(max(0.0, seconds - bar.done / bar.rate), 1),
        **peak_memory(),
    }


def projection(lease: Lease, recipe: Recipe) -> Figures:
    """Minutes of a whole run of the recipe on CIFAR-10 at IPC 10, from what was measured."""
    step = lease.known.get("step", {}).get(SHAPE.name)
    rates = lease.known.get("rate", {})
    if step is None or not {"pool", "students"} <= rates.keys():
        raise Skip(f"needs the step of {SHAPE.name}, pool and students")
    values, images, evaluation = recipe.pool, SHAPE.classes * SHAPE.images, recipe.evaluation
    updates = updates_of(evaluation.updates, evaluation.epochs, decoded_images(recipe), evaluation.batch_size)
    trained = values.size * values.epochs * (images // values.batch_size) * values.batch_size
    seconds = {
        "pool": trained / rates["pool"]["images_per_second"],
        "distillation": recipe.distillation.steps * step["step_ms"] / 1000,
        "students": ROWS * STUDENTS * updates * evaluation.batch_size / rates["students"]["images_per_second"],
        "compilation": step["first_step_seconds"]
        + sum(rates[name]["compilation_seconds"] for name in ("pool", "students")),
    }
    minutes = {name: round(value / 60, 2) for name, value in seconds.items()}
    return {"minutes": minutes | {"all": round(sum(seconds.values()) / 60, 2)}}


@contextmanager
def cache_of_its_own() -> Iterator[None]:
    """An empty cache, in which no pool is found and none is left."""
    before = os.environ.get("NCFM_HUB_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NCFM_HUB_CACHE"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["NCFM_HUB_CACHE"]
            else:
                os.environ["NCFM_HUB_CACHE"] = before
