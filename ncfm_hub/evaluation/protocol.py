"""The table of a distilled set: students of several seeds on it and on what it is compared with.

Every row has the same recipe and the same number of optimiser updates; accuracies are the last epoch's. A student's
result is written as soon as it is known, so that an interrupted table goes on where it stopped.
"""

import hashlib
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.engine import Engine
from ncfm_hub.evaluation.students import Students, TrainingSet
from ncfm_hub.files import write_json
from ncfm_hub.progress import Bar, Progress, Silent
from ncfm_hub.sources.types import ImageSet


@dataclass(frozen=True)
class Row:
    """One row of the table: what students are trained on.

    name: "random", "start", "distilled" or "whole"; labels: "hard" or "soft"; stored_images: what it costs to keep
    """

    name: str
    labels: str
    training: TrainingSet
    stored_images: int


def updates_of(updates: int | None, epochs: int | None, images: int, batch_size: int) -> int:
    """The updates of every row: as given, or so many epochs of the distilled set's `images`."""
    if updates is not None:
        return updates
    if epochs is None:
        raise ValueError("give the number of updates or of epochs")
    return epochs * -(-images // batch_size)


def measure(
    rows: Sequence[Row],
    test: ImageSet,
    students: Students,
    seeds: Sequence[int],
    engine: Engine,
    journal: Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train a student per row and seed, shared among processes; the rows of `results.json` (percent).

    journal: folder that keeps each student's result; those already there under the same conditions are not trained
    again
    """
    progress = progress or Silent()
    jobs = [(row, seed) for row in rows for seed in seeds]
    mine = jobs[engine.accelerator.process_index :: engine.accelerator.num_processes]
    done: dict[tuple[str, str, int], dict[str, float]] = {}
    with progress.bar(len(mine) * students.plan.updates, "evaluating") as bar:
        conditions = [_condition(row, test, students, engine) for row in rows] if journal else [""] * len(rows)
        condition_of = {(row.name, row.labels): condition for row, condition in zip(rows, conditions, strict=True)}
        missing: list[tuple[Row, int]] = []
        for row, seed in mine:
            result = _kept_result(_kept(journal, row, seed), condition_of[row.name, row.labels])
            if result is None:
                missing.append((row, seed))
            else:
                bar.advance(students.plan.updates)
                done[row.name, row.labels, seed] = result
        for first in range(0, len(missing), students.at_once):
            some = missing[first : first + students.at_once]
            results = _train(some, test, students, bar)
            for (row, seed), result in zip(some, results, strict=True):
                path = _kept(journal, row, seed)
                if path:
                    write_json(path, {"condition": condition_of[row.name, row.labels], **result})
                done[row.name, row.labels, seed] = result
    gathered = _gather(done, engine)
    return [_summary(row, [gathered[row.name, row.labels, seed] for seed in seeds]) for row in rows]


def _train(jobs: Sequence[tuple[Row, int]], test: ImageSet, students: Students, bar: Bar) -> list[dict[str, float]]:
    """Accuracies of one student a job, and the seconds that each took, or its share of them."""
    began = time.perf_counter()
    if len(jobs) == 1:
        (row, seed), *_ = jobs
        found = [students.train_and_test(row.training, test.images, test.labels, seed, bar)]
    else:
        given = [(row.training, seed) for row, seed in jobs]
        found = students.train_and_test_together(given, test.images, test.labels, bar)
    seconds = (time.perf_counter() - began) / len(jobs)
    return [{"accuracy": accuracy, "train_accuracy": train, "seconds": seconds} for accuracy, train in found]


def _kept(journal: Path | None, row: Row, seed: int) -> Path | None:
    return journal / f"{row.name}-{row.labels}-{seed}.json" if journal else None


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """n, mean, sample standard deviation (None for one value) and the values, rounded to a hundredth."""
    return {
        "n": len(values),
        "mean": round(statistics.fmean(values), 2),
        "std": round(statistics.stdev(values), 2) if len(values) > 1 else None,
        "values": [round(value, 2) for value in values],
    }


def _summary(row: Row, results: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "set": row.name,
        "labels": row.labels,
        "images": len(row.training.labels),
        "stored_images": row.stored_images,
        "accuracy": summarise([result["accuracy"] for result in results]),
        "train_accuracy": summarise([result["train_accuracy"] for result in results]),
        "seconds": round(sum(result["seconds"] for result in results), 1),
    }


def _condition(row: Row, test: ImageSet, students: Students, engine: Engine) -> str:
    """Digest of everything that a student's result depends on, its seed apart."""
    digest = hashlib.sha256()
    described = {
        "plan": asdict(students.plan),
        "architecture": students.architecture.as_dict(),
        "computed": [engine.device.type, engine.precision, engine.compiled, engine.native, torch.__version__],
    }
    digest.update(json.dumps(described, sort_keys=True).encode())
    for tensor in (row.training.images, row.training.targets, test.images, test.labels):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _kept_result(path: Path | None, condition: str) -> dict[str, float] | None:
    if path is None or not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    return kept if kept.pop("condition", None) == condition else None


def _gather(
    done: dict[tuple[str, str, int], dict[str, float]], engine: Engine
) -> dict[tuple[str, str, int], dict[str, float]]:
    if engine.accelerator.num_processes == 1:
        return done
    from accelerate.utils import gather_object

    return dict(gather_object(list(done.items())))
