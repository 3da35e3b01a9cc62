"""The evaluation protocol: students (evaluation networks) of several seeds on a distilled dataset and its baselines.

All rows share the recipe and the number of optimiser updates; accuracy is taken after the last update. Each student's
result is written immediately, so that an interrupted evaluation continues where it stopped.
"""

import hashlib
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import timm
import torch

from ncfm_hub._version import __version__
from ncfm_hub.errors import Damaged, Diverged
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.students import StudentResult, Students
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.groups import halving, in_groups
from ncfm_hub.sources.types import ImageSet
from ncfm_hub.utils.files import cache_root
from ncfm_hub.utils.progress import Bar, Progress, Silent, taken_back
from ncfm_hub.utils.sealed import load_record, save_record

JOURNAL_FORMAT = 3  # of the journal; raise it whenever students, their augmentation or networks change
Job = tuple[tuple[str, str], int]  # row key and seed
Kept = dict[str, Any]  # a student's result and duration, as in the journal
_KEPT = {*(field.name for field in fields(StudentResult)), "seconds"}


@dataclass(frozen=True)
class Row:
    """A row of the results table: what students are trained on.

    name: "distilled", "start" (initialisation), "whole" (full training set), or a baseline
    labels: "hard" or "soft"
    stored_images: storage budget in full images
    extractors: digest of the extractors that selected, produced or labelled its images; None if none did
    """

    name: str
    labels: str
    training: TrainingSet
    stored_images: int
    extractors: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes the row from others in its table."""
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
    """Train one student per row and seed, shared among processes; returns the rows of results.json (percent).

    journal: folder that caches each student's result under a digest of everything it depends on, so that no student is
        trained twice under the same conditions
    what: title of the progress bar
    again: retrain students even if cached
    Raises Diverged, in every process, if any student diverged.
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
            for some, results in _train_all(missing, test, students, bar, progress):
                for (row, seed), result in zip(some, results, strict=True):
                    if journal:
                        _keep(journal, condition_of[row.key], seed, result)
                    done[row.key, seed] = result
        except Diverged as error:
            diverged = str(error)
    gathered = _gather(done, diverged, engine)
    return [_summary(row, [gathered[row.key, seed] for seed in seeds]) for row in rows]


def _train_all(
    jobs: Sequence[tuple[Row, int]], test: ImageSet, students: Students, bar: Bar, progress: Progress
) -> Iterator[tuple[Sequence[tuple[Row, int]], list[Kept]]]:
    """Yield groups of jobs with their results, as many students at once as memory holds."""

    def train(some: Sequence[tuple[Row, int]]) -> list[Kept]:
        with taken_back(bar) as own:
            return _train(some, test, students, own)

    return halving(in_groups(jobs, students.at_once(len(jobs), progress)), train, progress)


def _train(jobs: Sequence[tuple[Row, int]], test: ImageSet, students: Students, bar: Bar) -> list[Kept]:
    """Train one student per job; returns results and seconds, shared equally among students trained together."""
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
    """Return the cache folder of students' results."""
    return cache_root() / "students"


def summarise(values: Sequence[float], digits: int = 2) -> dict[str, Any]:
    """Return n, mean, sample standard deviation (None for one value) and the values, rounded."""
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
    """Average a class's accuracy over students; None if the class has no test images."""
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 2) if known else None


def _condition(row: Row, test: ImageSet, students: Students, engine: Engine) -> str:
    """Return the digest of everything that a student's result depends on, apart from its seed."""
    digest = hashlib.sha256()
    described = {
        "plan": asdict(students.plan),
        "architecture": students.architecture.as_dict(),
        "computed": {key: value for key, value in engine.describe().items() if key != "processes"},
        "format": JOURNAL_FORMAT,
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
    """Return a cached result; None if there is none, or it is unusable."""
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
    """Collect the results of all processes.

    All processes meet here before any raises: one that stopped alone would leave the others waiting in the next table.
    """
    everybodys = [(done, diverged)]
    if engine.accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        everybodys = gather_object(everybodys)
    for _, problem in everybodys:
        if problem is not None:
            raise Diverged(problem)
    return {job: result for some, _ in everybodys for job, result in some.items()}
