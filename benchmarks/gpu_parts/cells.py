"""Whole runs on real images that differ in a few settings: pool, distillation, and students of all of them at once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.gpu_parts.lease import Figures, Lease, Piece, Skip, Watch, peak_memory
from benchmarks.gpu_parts.shapes import recipe_of, student_of
from ncfm_hub.distillation.loop import distill_images
from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.protocol import Row, measure
from ncfm_hub.evaluation.students import StudentPlan, Students, student_plan
from ncfm_hub.extractors.cache import get_pool
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.extractors.soft_labels import soft_labels
from ncfm_hub.machine.engine import Engine
from ncfm_hub.publishing.dataset.dataset import decode_stored, to_pixels
from ncfm_hub.recipes.resolve import parse_assignment
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources.types import Source

FOR_STUDENTS = 60.0  # seconds that distillations leave to the evaluation


@dataclass
class Cells:
    """Runs that share source and engine, and a pool where their settings of it are equal.

    read: returns the source; called once
    preset: whose settings the cells change
    recipes: by the text of the settings that a cell changes
    """

    lease: Lease
    engine: Engine
    read: Callable[[], Source]
    preset: str
    recipes: dict[str, Recipe]
    rows: list[tuple[tuple[StudentPlan, int], Row]] = field(default_factory=list)  # with the number of students

    @cached_property
    def source(self) -> Source:
        return self.read()

    def pieces(self) -> list[Piece]:
        """Every cell in the order given, then the students of all."""
        return [
            *(Piece("cell", name, 90, lambda name=name: self.distill(name)) for name in self.recipes),
            Piece("cell", "students", 30, self.evaluate),
        ]

    def distill(self, name: str) -> Figures:
        """Distill one cell, and keep its images for the students."""
        recipe, source, watch = self.recipes[name], self.source, Watch(self.lease, FOR_STUDENTS)
        pool, of_pool = self._pool(recipe, watch)
        settings = settings_of(
            recipe.distillation, source.info, recipe.source.flip, self.engine.device.type, self.engine.processes
        )
        made = distill_images(source, pool, settings, self.engine, progress=watch)
        stored = to_pixels(made.stored)
        # An evaluation that no time is left for can then be made elsewhere.
        save_file({"stored": stored}, self.lease.folder / f"cell-{len(self.rows)}.safetensors", {"cell": name})
        self._add_rows(name, recipe, stored, pool)
        return {
            "preset": self.preset,
            "pool": of_pool,
            "steps": settings.steps,
            "distillation_seconds": round(made.seconds, 1),
            "losses": [made.curve[0], made.curve[-1]],
            **peak_memory(),
        }

    def _pool(self, recipe: Recipe, watch: Watch) -> tuple[Pool, Figures]:
        began = time.perf_counter()
        pool = get_pool(self.source, recipe.source.flip, recipe.pool, self.engine, watch)
        trained = [accuracy["0.0"] for accuracy in pool.accuracy]
        return pool, {
            "origin": pool.origin,
            "seconds": round(time.perf_counter() - began, 1),
            "members": recipe.pool.size,
            "accuracy": round(sum(trained) / len(trained), 2),
        }

    def _add_rows(self, name: str, recipe: Recipe, stored: torch.Tensor, pool: Pool) -> None:
        classes, factor = self.source.info.class_names, recipe.distillation.factor
        images = decode_stored(stored, factor)
        labels = torch.arange(len(classes)).repeat_interleave(len(images) // len(classes))
        how = student_plan(recipe.evaluation, recipe.source.flip, len(images)), recipe.evaluation.students
        self.rows.append((how, Row(name, "hard", TrainingSet(images, labels), len(stored))))
        if recipe.evaluation.soft_labels:
            targets = soft_labels(images, pool, self.engine, classes=classes)
            self.rows.append((how, Row(name, "soft", TrainingSet(images, labels, targets), len(stored))))

    def evaluate(self) -> Figures:
        """Train and test the students of all cells, at once where they are trained alike; last epoch, in percent."""
        if not self.rows:
            raise Skip("no cell was distilled")
        watch, began, found = Watch(self.lease), time.perf_counter(), []
        for how in dict.fromkeys(how for how, _ in self.rows):
            plan, count = how
            rows = [row for other, row in self.rows if other == how]
            students = Students(student_of(self.source), plan, self.engine)
            measured = measure(rows, self.source.tested_on(), students, range(count), self.engine, None, watch)
            found += [{"cell": one.pop("set"), "updates": plan.updates, **one} for one in measured]
        seconds = round(time.perf_counter() - began, 1)
        return {"rows": found, "seconds": seconds, "at_once": watch.bars["evaluating"].at_once, **peak_memory()}


def parse_cells(texts: Sequence[str], preset: str, tiny: bool) -> dict[str, Recipe]:
    """Return the recipe of every `KEY=VALUE,...`; without any, that of the preset alone.

    Raises ValueError for a setting of source or engine, which all cells share.
    """
    found = {}
    for text in texts or [""]:
        changes = dict(parse_assignment(one) for one in text.split(",") if one)
        if shared := [key for key in changes if key.startswith(("source.", "engine."))]:
            raise ValueError(f"--cell {shared[0]}: all cells share it; expected pool, distillation or evaluation")
        found[text or preset] = recipe_of(preset, changes, tiny)
    return found


def pieces(
    lease: Lease, engine: Engine, preset: str, texts: Sequence[str], files: Sequence[Sequence[Path]], tiny: bool
) -> list[Piece]:
    """The cells on real images, or with none given on random ones if they are tiny.

    texts: the settings of each; files: of the training images, and of the test images
    """
    from benchmarks.gpu_parts.pixels import read_source
    from benchmarks.gpu_parts.shapes import SHAPES, random_source

    recipes = parse_cells(texts, preset, tiny)
    resolution = next(iter(recipes.values())).source.resolution

    def read() -> Any:
        if all(files):
            return read_source("cifar10", *files, resolution)
        if tiny:
            return random_source(SHAPES[0].tiny())
        raise Skip("no images; give --train and --test")

    return Cells(lease, engine, read, preset, recipes).pieces()
