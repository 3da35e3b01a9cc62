"""Train many architectures on proxies and on the full training set."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from ncfm_hub.errors import Diverged, PoolError
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.protocol import Row, measure, student_journal
from ncfm_hub.evaluation.students import StudentPlan, StudentResult, Students
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture, check_network
from ncfm_hub.planning.operations import NETWORK_EFFICIENCY, TRAINING, forward_operations, machine_speed
from ncfm_hub.sources.types import ImageSet
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.progress import Bar, Progress, Silent

PROXY_UPDATES = 200
WHOLE_UPDATES = 800
Figures = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """Cost of a search: updates on a proxy, updates on the full training set, and students per architecture."""

    proxy_updates: int = PROXY_UPDATES
    whole_updates: int = WHOLE_UPDATES
    students: int = 1

    def updates(self, proxies: int) -> int:
        """Return the updates of one architecture, over all students and datasets."""
        return (proxies * self.proxy_updates + self.whole_updates) * self.students


@dataclass(frozen=True)
class Sets:
    """Training data of every architecture, and the images to test on."""

    proxies: tuple[Row, ...]
    whole: Row
    test: ImageSet


class _NotReady(Exception):
    """A student would be trained before its network is compiled."""


class _Watched(Students):
    """Students whose compilation is excluded from measured time."""

    ready = False

    def train_and_test(
        self, training: TrainingSet, test_images: torch.Tensor, test_labels: torch.Tensor, seed: int, bar: Bar
    ) -> StudentResult:
        if not self.ready:
            raise _NotReady
        return super().train_and_test(training, test_images, test_labels, seed, bar)

    def get_ready(self, training: TrainingSet) -> None:
        """Compile the network for all shapes it will see, by one update and one evaluation."""
        self.plan = replace(self.plan, updates=1)
        with Silent().bar(1, "") as bar:
            super().train_and_test(training, training.images[:1], training.labels[:1], 0, bar)
        self.ready = True


def measure_candidates(
    candidates: Sequence[Architecture],
    sets: Sets,
    plan: StudentPlan,
    budget: Budget,
    engine: Engine,
    progress: Progress,
) -> tuple[list[Figures], list[Figures]]:
    """Return the results of each architecture, and those that failed, with the reason.

    An architecture fails if it does not accept the images, is too large, or diverges. Results are name, parameters,
    accuracies (n, mean, std, values) and seconds by dataset.
    """
    trained: list[Figures] = []
    failed: list[Figures] = []
    usable = usable_candidates(candidates, failed, progress)
    each = budget.updates(len(sets.proxies))
    minutes = search_minutes(usable, plan.batch_size * each, engine)
    progress.note(f"{counted(len(usable), 'architecture')}, about {minutes:.0f} min if none was trained before")
    with progress.bar(len(usable) * each, "searching") as bar:
        for number, architecture in enumerate(usable, 1):
            one = _OneBar(progress, bar, architecture.name)
            try:
                trained.append(_measure(architecture, sets, plan, budget, engine, one))
            except (RuntimeError, Diverged) as error:  # out of memory, or compilation failed
                _record(failed, architecture, error, progress)
            else:
                progress.note(f"{number}/{len(usable)} {_told(trained[-1])}")
            one.catch_up(each)
    return trained, failed


def _measure(
    architecture: Architecture, sets: Sets, plan: StudentPlan, budget: Budget, engine: Engine, progress: Progress
) -> Figures:
    students = _Watched(architecture, plan, engine, at_once=1)

    def measure_rows(progress: Progress) -> list[Figures]:
        found = []
        for rows, updates in ((sets.proxies, budget.proxy_updates), ((sets.whole,), budget.whole_updates)):
            students.plan = replace(plan, updates=updates)
            found += measure(rows, sets.test, students, range(budget.students), engine, student_journal(), progress)
        return found

    try:
        found = measure_rows(Silent())
    except _NotReady:
        students.get_ready(sets.proxies[0].training)
        found = measure_rows(progress)
    return {
        "name": architecture.name,
        "parameters": sum(weights.numel() for weights in students.trainer.network.parameters()),
        **{row["set"]: row["accuracy"] for row in found},
        "seconds": {row["set"]: row["seconds"] for row in found},
    }


def usable_candidates(
    candidates: Sequence[Architecture], failed: list[Figures], progress: Progress
) -> list[Architecture]:
    """Return the architectures that accept the images; the others are added to `failed`, with the reason."""
    return [one for one in candidates if _can_be_used(one, failed, progress)]


def _can_be_used(architecture: Architecture, failed: list[Figures], progress: Progress) -> bool:
    try:
        check_network(architecture)
    except PoolError as error:
        _record(failed, architecture, error, progress)
        return False
    return True


def _record(failed: list[Figures], architecture: Architecture, error: Exception, progress: Progress) -> None:
    reason = " ".join(str(error).split()) or type(error).__name__
    failed.append({"name": architecture.name, "reason": reason})
    progress.note(f"{architecture.name} is left out: {reason}")


def _told(one: Figures) -> str:
    kinds = ", ".join(f"{one[kind]['mean']:.1f} % {kind}" for kind in one["seconds"])
    return f"{one['name']}: {kinds} ({sum(one['seconds'].values()):.0f} s)"


def search_minutes(architectures: Sequence[Architecture], images: int, engine: Engine) -> float:
    """Estimate the time of a search, from one minute up. images: training images per architecture."""
    operations = TRAINING * images * sum(forward_operations(one) for one in architectures)
    return max(operations / (NETWORK_EFFICIENCY * machine_speed(engine.device)) / 60, 1.0)


class _OneBar:
    """The progress bars of one architecture's trainings, as a part of the search's bar."""

    def __init__(self, progress: Progress, bar: Bar, name: str):
        self._progress, self._bar, self._name, self._done = progress, bar, name, 0

    def note(self, message: str) -> None:
        self._progress.note(message)

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        yield self

    def advance(self, count: int = 1, **figures: float | str) -> None:
        self._done += count
        self._bar.advance(count, architecture=self._name, **figures)

    def catch_up(self, total: int) -> None:
        """Mark the architecture as finished, whatever its progress."""
        if self._done < total:
            self.advance(total - self._done)
