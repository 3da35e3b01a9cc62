"""Class-incremental learning as in GDumb.

After each step, a student (evaluation network) is trained from scratch on the memory of all classes seen so far, and
tested on their test images.

Source: Prabhu et al., "GDumb", ECCV 2020. GDumb divides a fixed budget among the classes seen so far. Here a memory
stores the same number of images for every class, as a distilled dataset does, and every student gets the same number of
updates. All students of one order share a seed, so that memories are compared in pairs.

Legend: S steps, k classes seen after a step.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.evaluation.continual.memories import MEMORIES, Memory, make_memories
from ncfm_hub.evaluation.continual.plot import plot_steps
from ncfm_hub.evaluation.continual.results import continual_results
from ncfm_hub.evaluation.continual.seen_classes import (
    ClassOrder,
    class_orders,
    classes_after,
    images_of_seen,
    training_of_seen,
)
from ncfm_hub.evaluation.opening import SubjectOptions, open_subject
from ncfm_hub.evaluation.planned import PlannedMeasurement
from ncfm_hub.evaluation.protocol import Row, measure, student_journal
from ncfm_hub.evaluation.students import StudentPlan, Students
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.networks.build import Architecture
from ncfm_hub.planning.announcing import announce
from ncfm_hub.planning.cost import evaluate_minutes
from ncfm_hub.publishing.dataset.folders import study_folder
from ncfm_hub.publishing.dataset.names import slug
from ncfm_hub.sources.types import ImageSet
from ncfm_hub.utils.files import write_study
from ncfm_hub.utils.named import Named, path_of
from ncfm_hub.utils.progress import Bar, Progress, Silent

RESULTS, PLOT = "continual.json", "continual.png"


@dataclass(frozen=True)
class ContinualStudy:
    """A finished study: the folder of its two files, and the content of `continual.json`."""

    folder: Path
    results: dict[str, Any] = field(repr=False)


@reproducible()
def continual(
    target: Named,
    *,
    steps: int = 5,
    orders: int = 5,
    memories: Sequence[str] = MEMORIES,
    labels: str = "hard",
    seed: int = 0,
    output: Named | None = None,
    source: Named | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    pool: Named | None = None,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> ContinualStudy:
    """Evaluate a distilled dataset as the memory of a class-incremental learner; write `continual.json` and a plot.

    Results are cached for each student (evaluation network), so an interrupted study continues where it stopped.

    target: folder or Hub repository
    steps: number of steps in which the classes arrive
    orders: number of random class orders; one student is trained per order, step and memory
    memories: any of "distilled", "random" and "herding"
    labels: "hard", or "soft" (restricted to the classes seen so far)
    seed: random seed of orders, students and random memories
    output: folder for the two files; default: `<target>-continual` in the current folder. An earlier study with
        different results is renamed; a folder of another dataset is refused
    source, preset, overrides, pool, revision, token, progress: as for `evaluate`
    Returns the folder and the content of `continual.json`.
    Raises DistilledError if there are more steps than classes, or soft labels are missing.
    """
    progress = progress or Silent()
    folder = _folder(target, output, revision, token)
    subject = open_subject(target, SubjectOptions(source, preset, overrides, pool, revision, token), progress)
    results = class_incremental(subject, steps, orders, memories, labels, seed, student_journal(), progress)
    if subject.engine.accelerator.is_main_process:
        earlier = write_study(folder, (RESULTS, PLOT), results)
        if earlier:
            progress.note(f"the study that was there is {earlier} now")
        plot_steps(results, folder / PLOT)
    return ContinualStudy(folder, results)


@reproducible()
def plan_continual(
    target: Named,
    *,
    steps: int,
    orders: int,
    memories: Sequence[str],
    labels: str,
    seed: int,
    output: Named | None,
    options: SubjectOptions,
    progress: Progress,
) -> PlannedMeasurement:
    """Return what `continual` would do with the same arguments, without doing it. Raises the same errors."""
    folder = _folder(target, output, options.revision, options.token)
    subject = open_subject(target, options, progress)
    classes_after(len(subject.class_names), steps)
    subject.training(labels)
    _check_test_images(subject)
    students = steps * orders * len(memories)
    minutes = _announce(subject, students, progress)
    written = (folder / RESULTS, folder / PLOT)
    return PlannedMeasurement(subject.name, subject.source.info.dataset, students, minutes, written)


def _folder(target: Named, output: Named | None, revision: str | None, token: str | None) -> Path:
    """Return the folder of the study."""
    folder = path_of(output) or Path(f"{slug(Path(target).resolve().name)}-continual")
    return study_folder(folder, target, revision=revision, token=token)


def class_incremental(
    subject: Subject,
    steps: int,
    orders: int,
    memories: Sequence[str],
    labels: str,
    seed: int,
    journal: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Return the content of `continual.json`; see `continual`. journal: cache folder of students' results."""
    classes = len(subject.class_names)
    sizes, drawn = classes_after(classes, steps), class_orders(classes, orders, seed)
    _check_test_images(subject)
    _announce(subject, steps * orders * len(memories), progress)
    kept = make_memories(subject, memories, labels, [order.seed for order in drawn], progress)
    rows = measure_steps(
        kept,
        drawn,
        sizes,
        subject.source.tested_on(),
        subject.architecture(),
        subject.plan(),
        subject.engine,
        journal,
        progress,
    )
    return continual_results(subject, kept, drawn, sizes, rows, seed)


def measure_steps(
    memories: Sequence[Memory],
    orders: Sequence[ClassOrder],
    sizes: Sequence[int],
    test: ImageSet,
    architecture: Architecture,
    plan: StudentPlan,
    engine: Engine,
    journal: Path | None,
    progress: Progress,
) -> dict[str, list[list[dict[str, Any]]]]:
    """Return, for each memory, step and order, the `measure` row of one student.

    sizes: k after each step
    architecture: of the students, whose heads get k classes
    """
    rows_of: dict[str, list[list[dict[str, Any]]]] = {memory.name: [[] for _ in sizes] for memory in memories}
    # `measure` distributes the students of each step and order over processes.
    mine = range(engine.accelerator.process_index, len(memories), engine.accelerator.num_processes)
    with progress.bar(len(mine) * len(orders) * len(sizes) * plan.updates, "continual learning") as bar:
        within = _Within(bar, progress)
        for step, size in enumerate(sizes):
            students = Students(replace(architecture, classes=size), plan, engine)
            for number, order in enumerate(orders):
                seen = order.classes[:size]
                rows, test_seen = _rows(memories, number, seen), images_of_seen(test, seen)
                for row in measure(rows, test_seen, students, [order.seed], engine, journal, within):
                    rows_of[row["set"]][step].append(row)
    return rows_of


def _check_test_images(subject: Subject) -> None:
    """Raise DistilledError if a class has no test images."""
    untested = set(range(len(subject.class_names))) - set(subject.source.tested_on().labels.tolist())
    if untested:
        info = subject.source.info
        raise DistilledError(
            f"{info.dataset}, split {info.test_split!r}, has no image of class {info.class_names[min(untested)]!r}; "
            "a continual study tests every class"
        )


def _announce(subject: Subject, students: int, progress: Progress) -> float | None:
    """Return the estimated minutes of training the students, and warn if they are many."""
    only = {"students": students, "baselines": [], "soft_labels": False, "architectures": []}
    evaluation = subject.recipe.evaluation.model_copy(update=only)
    recipe = subject.recipe.model_copy(update={"evaluation": evaluation})
    images = (len(subject.source.train.labels), len(subject.source.tested_on().labels))
    minutes = evaluate_minutes(recipe, subject.architecture(), len(subject.labels), *images, subject.engine)
    announce(minutes, "--orders N, --memories distilled,random, --set evaluation.updates=N", progress)
    return minutes


def _rows(memories: Sequence[Memory], number: int, seen: Sequence[int]) -> list[Row]:
    """Return the training data of the students of one order and step."""
    return [
        Row(
            memory.name,
            memory.labels,
            training_of_seen(memory.sets[number], seen),
            memory.stored_per_class * len(seen),
        )
        for memory in memories
    ]


class _Within:
    """Progress whose bars all advance one open bar."""

    def __init__(self, bar: Bar, progress: Progress):
        self._bar, self._progress = bar, progress

    def note(self, message: str) -> None:
        self._progress.note(message)

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        if done:
            self._bar.advance(done)
        yield self._bar
