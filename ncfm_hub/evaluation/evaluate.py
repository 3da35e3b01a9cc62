"""Evaluate distilled datasets from folders or the Hub, one or several, under one recipe."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError, PipelineError
from ncfm_hub.evaluation.opening import SubjectOptions, open_subject
from ncfm_hub.evaluation.planned import PlannedMeasurement
from ncfm_hub.evaluation.protocol import student_journal
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.evaluation.table import SETS_IN_ORDER, evaluate_subject
from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.networks.build import check_network
from ncfm_hub.planning.announcing import announce_evaluation
from ncfm_hub.planning.cost import students_of
from ncfm_hub.publishing.cards.dataset_card import write_card
from ncfm_hub.publishing.dataset.conversion import place_to_write
from ncfm_hub.publishing.dataset.layout import CARD, RESULTS
from ncfm_hub.publishing.dataset.place import find_set
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results
from ncfm_hub.utils.files import write_json, write_study
from ncfm_hub.utils.progress import Progress


def evaluate_sets(
    targets: Sequence[str],
    options: SubjectOptions,
    *,
    with_ranking: bool,
    again: bool,
    update: bool,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Return a result for each target, in order; see `ncfm_hub.api.evaluate`."""
    subjects = _opened(targets, options, with_ranking, update, progress)
    for subject in subjects:
        _announce(subject, with_ranking, progress)
    found = []
    for subject in subjects:
        result = evaluate_subject(subject, with_ranking, student_journal(), progress, again=again)
        if update and subject.folder and subject.engine.accelerator.is_main_process:
            _update(subject.folder, result, progress)
        found.append({"target": subject.name, **result} if len(targets) > 1 else result)
    return found


@reproducible()
def plan_evaluation(
    targets: Sequence[str], options: SubjectOptions, *, with_ranking: bool, update: bool, progress: Progress
) -> list[PlannedMeasurement]:
    """Return what `evaluate_sets` would do with the same arguments, without doing it. Raises the same errors."""
    return [
        PlannedMeasurement(
            subject.name,
            subject.source.info.dataset,
            students_of(subject.recipe.evaluation, with_ranking),
            _announce(subject, with_ranking, progress),
            _written(subject.folder) if update and subject.folder else (),
        )
        for subject in _opened(targets, options, with_ranking, update, progress)
    ]


def _opened(
    targets: Sequence[str], options: SubjectOptions, with_ranking: bool, update: bool, progress: Progress
) -> list[Subject]:
    """Read and check all targets before the first is evaluated, so that errors come early."""
    if update:
        _check_folders(targets)
    subjects: list[Subject] = []
    for target in targets:
        subject = open_subject(target, options, progress)
        subjects.append(_like(subjects[0], subject) if subjects else _settled(subject))
    for subject in subjects:
        _check(subject, with_ranking, update)
    return subjects


def _announce(subject: Subject, with_ranking: bool, progress: Progress) -> float | None:
    """Return the estimated minutes, and warn if they are many."""
    return announce_evaluation(
        subject.recipe,
        subject.source.info,
        len(subject.labels),
        (len(subject.source.train.labels), len(subject.source.tested_on().labels)),
        subject.engine,
        progress,
        with_ranking,
    )


def _written(folder: Path) -> tuple[Path, ...]:
    """Return the files that `update` writes."""
    place = find_set(folder)
    return place.folder / RESULTS, place.root / CARD


def _settled(subject: Subject) -> Subject:
    """Fix the number of updates in place of epochs, so that other datasets can be evaluated with the same number."""
    evaluation = subject.recipe.evaluation.model_copy(update={"updates": subject.plan().updates, "epochs": None})
    return replace(subject, recipe=subject.recipe.model_copy(update={"evaluation": evaluation}))


def _like(first: Subject, other: Subject) -> Subject:
    """Return `other` with the evaluation settings of `first`, since a table's rows are trained alike on one machine."""
    if other.source.fingerprint != first.source.fingerprint:
        raise DistilledError(
            f"{first.name} is evaluated on {first.source.info.dataset}, {other.name} on {other.source.info.dataset} "
            "or on another part or size of it; datasets in one table must share a source: name it with --source, or "
            "evaluate them one by one"
        )
    recipe, shared = other.recipe, first.recipe
    source = recipe.source.model_copy(update={"flip": shared.source.flip})
    changed = {"evaluation": shared.evaluation, "engine": shared.engine, "source": source}
    return replace(other, recipe=recipe.model_copy(update=changed), engine=first.engine, source=first.source)


def _check(subject: Subject, with_ranking: bool, update: bool) -> None:
    """Raise errors that would otherwise appear after hours of work."""
    evaluation = subject.recipe.evaluation
    if not evaluation.students and (with_ranking or update or evaluation.architectures):
        raise PipelineError("--students is 0, so there is nothing to evaluate; expected 1 or more")
    for name in evaluation.architectures:
        check_network(subject.architecture(name))
    if update and subject.folder:
        made_from = read_pipeline(subject.folder).get("source", {}).get("fingerprint")
        if made_from != subject.source.fingerprint:
            raise DistilledError(
                f"{subject.name} was made from other images than {subject.source.info.dataset} gives now; its card is "
                "about those: measure it without --update"
            )


def _check_folders(targets: Sequence[str]) -> None:
    for target in targets:
        if not find_set(Path(target).expanduser()).finished:
            raise DistilledError(f"{target} is not a distilled dataset folder, so it has no card to update")


def _update(folder: Path, result: dict[str, Any], progress: Progress) -> None:
    """Write results into the folder's results.json and card.

    Earlier results under the same protocol are kept; those under another protocol are stored beside them.
    """
    place = place_to_write(find_set(folder), progress)
    folder = place.folder
    before = read_results(folder)
    if before.get("protocol") == result["protocol"]:
        for table in ("rows", "cross_architecture"):
            if table in before and table in result:
                result = result | {table: _merged(before[table], result[table])}
    if before.get("protocol") == result["protocol"] or not before.get("rows"):
        write_json(folder / RESULTS, before | result)
    else:
        # Facts about the run itself, such as its loss, belong to no protocol.
        before = {key: value for key, value in before.items() if key not in ("cross_architecture", "ranking")}
        earlier = write_study(folder, (RESULTS,), before | result)
        progress.note(f"earlier results have another protocol; they are now in {earlier}")
    write_card(place.root)


def _merged(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge two lists of rows, by students and in table order; `now` replaces rows of the same name and labels."""
    rows = {(row.get("student"), row["set"], row["labels"]): row for row in (*before, *now)}
    students = list(dict.fromkeys(student for student, _, _ in rows))
    return sorted(rows.values(), key=lambda row: (students.index(row.get("student")), SETS_IN_ORDER.index(row["set"])))
