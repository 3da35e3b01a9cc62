"""The table of a distilled set: students of several seeds on it and on what it is compared with.

Every row has the same recipe and the same number of optimiser updates; accuracies are the last epoch's. A student's
result is written as soon as it is known, so that an interrupted table goes on where it stopped.
"""

import hashlib
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import timm
import torch

from ncfm_hub._version import __version__
from ncfm_hub.errors import Damaged, Diverged
from ncfm_hub.evaluation.students import StudentResult, Students, TrainingSet
from ncfm_hub.machine.engine import Engine
from ncfm_hub.sources.types import ImageSet
from ncfm_hub.utils.files import cache_root
from ncfm_hub.utils.progress import Bar, Progress, Silent
from ncfm_hub.utils.sealed import load_record, save_record

FORMAT = 2  # of the journal; raised whenever students, their augmentation or their networks change
Job = tuple[tuple[str, str], int]  # a row's key and a seed
Kept = dict[str, Any]  # a student's result and the seconds it took, as the journal has it
_KEPT = {*(field.name for field in fields(StudentResult)), "seconds"}


@dataclass(frozen=True)
class Row:
    """One row of the table: what students are trained on.

    name: "distilled", "start", "whole", or a baseline's; labels: "hard" or "soft"; stored_images: what it costs to keep
    extractors: digest of those by which its images were chosen, made or labelled; None where none had a part
    """

    name: str
    labels: str
    training: TrainingSet
    stored_images: int
    extractors: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the other rows of its table."""
        return self.name, self.labels


def measure(
    rows: Sequence[Row],
    test: ImageSet,
    students: Students,
    seeds: Sequence[int],
    engine: Engine,
    journal: Path | None = None,
    progress: Progress | None = None,
    what: str = "evaluating",
    again: bool = False,
) -> list[dict[str, Any]]:
    """Train a student per row and seed, shared among processes; the rows of `results.json` (percent).

    journal: folder that keeps each student's result under the digest of all that it depends on, so that a student is
        never trained twice under the same conditions, whatever table it is asked for
    what: the bar's name; again: train anew what the journal has, too
    Raises Diverged, in every process, where a student of any did.
    """
    progress = progress or Silent()
    jobs = [(row, seed) for row in rows for seed in seeds]
    mine = jobs[engine.accelerator.process_index :: engine.accelerator.num_processes]
    done: dict[Job, Kept] = {}
    with progress.bar(len(mine) * students.plan.updates, what) as bar:
        conditions = [_condition(row, test, students, engine) for row in rows] if journal else [""] * len(rows)
        condition_of = {row.key: condition for row, condition in zip(rows, conditions, strict=True)}
        missing: list[tuple[Row, int]] = []
        for row, seed in mine:
            result = None if again else _kept_result(journal, condition_of[row.key], seed, progress)
            if result is None:
                missing.append((row, seed))
            else:
                bar.advance(students.plan.updates)
                done[row.key, seed] = result
        diverged = None
        try:
            for first in range(0, len(missing), students.at_once):
                some = missing[first : first + students.at_once]
                for (row, seed), result in zip(some, _train(some, test, students, bar), strict=True):
                    if journal:
                        _keep(journal, condition_of[row.key], seed, result)
                    done[row.key, seed] = result
        except Diverged as error:
            diverged = str(error)
    gathered = _gather(done, diverged, engine)
    return [_summary(row, [gathered[row.key, seed] for seed in seeds]) for row in rows]


def _train(jobs: Sequence[tuple[Row, int]], test: ImageSet, students: Students, bar: Bar) -> list[Kept]:
    """The result of one student a job, and the seconds that each took, or its share of them."""
    began = time.perf_counter()
    if len(jobs) == 1:
        (row, seed), *_ = jobs
        found = [students.train_and_test(row.training, test.images, test.labels, seed, bar)]
    else:
        given = [(row.training, seed) for row, seed in jobs]
        found = students.train_and_test_together(given, test.images, test.labels, bar)
    seconds = (time.perf_counter() - began) / len(jobs)
    return [{**asdict(result), "seconds": seconds} for result in found]


def student_journal() -> Path:
    """The folder in the user's cache where every table keeps its students."""
    return cache_root() / "students"


def summarise(values: Sequence[float], digits: int = 2) -> dict[str, Any]:
    """n, mean, sample standard deviation (None for one value) and the values, rounded to so many digits."""
    return {
        "n": len(values),
        "mean": round(statistics.fmean(values), digits),
        "std": round(statistics.stdev(values), digits) if len(values) > 1 else None,
        "values": [round(value, digits) for value in values],
    }


def _summary(row: Row, results: list[Kept]) -> dict[str, Any]:
    return {
        "set": row.name,
        "labels": row.labels,
        "images": len(row.training.labels),
        "stored_images": row.stored_images,
        "accuracy": summarise([result["accuracy"] for result in results]),
        "train_accuracy": summarise([result["train_accuracy"] for result in results]),
        "per_class": [_mean_of(values) for values in zip(*(result["per_class"] for result in results), strict=True)],
        "seconds": round(sum(result["seconds"] for result in results), 1),
        **({"extractors": row.extractors} if row.extractors else {}),
    }


def _mean_of(values: Sequence[float | None]) -> float | None:
    """Of what students know of one class; None where the test images have none of it."""
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 2) if known else None


def _condition(row: Row, test: ImageSet, students: Students, engine: Engine) -> str:
    """Digest of everything that a student's result depends on, its seed apart."""
    digest = hashlib.sha256()
    described = {
        "plan": asdict(students.plan),
        "architecture": students.architecture.as_dict(),
        "computed": {key: value for key, value in engine.describe().items() if key != "processes"},
        "format": FORMAT,
        "versions": [__version__, torch.__version__, timm.__version__],
    }
    digest.update(json.dumps(described, sort_keys=True).encode())
    training = row.training
    targets = () if training.targets is None else (training.targets,)
    for tensor in (training.images, training.labels, *targets, test.images, test.labels):
        digest.update(json.dumps([str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _place(journal: Path, condition: str, seed: int) -> Path:
    return journal / condition[:2] / f"{condition[:32]}-{seed}.json"


def _keep(journal: Path, condition: str, seed: int, result: Kept) -> None:
    save_record(_place(journal, condition, seed), {"condition": condition, **result})


def _kept_result(journal: Path | None, condition: str, seed: int, progress: Progress) -> Kept | None:
    """What was kept; None where there is nothing, or nothing that can be used."""
    if journal is None:
        return None
    place = _place(journal, condition, seed)
    try:
        kept = load_record(place)
    except FileNotFoundError:
        return None
    except Damaged as damage:
        progress.note(f"{place}, the result of a student, is damaged ({damage}); it is trained anew")
        return None
    return kept if kept.pop("condition", None) == condition and kept.keys() == _KEPT else None


def _gather(done: dict[Job, Kept], diverged: str | None, engine: Engine) -> dict[Job, Kept]:
    """What all processes have done. All of them meet here before one gives up: alone it would meet the others in their
    next table."""
    everybodys = [(done, diverged)]
    if engine.accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        everybodys = gather_object(everybodys)
    for _, problem in everybodys:
        if problem is not None:
            raise Diverged(problem)
    return {job: result for some, _ in everybodys for job, result in some.items()}
