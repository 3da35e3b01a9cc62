"""Measuring sets that lie in folders or on a Hub, one or several, under one recipe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.evaluation.protocol import student_journal
from ncfm_hub.evaluation.subjects import Subject, open_subject
from ncfm_hub.evaluation.table import evaluate_subject
from ncfm_hub.files import write_json
from ncfm_hub.planning import announce_evaluation
from ncfm_hub.progress import Progress
from ncfm_hub.publishing.card import read_results, write_card
from ncfm_hub.publishing.layout import PIPELINE, RESULTS


def evaluate_sets(
    targets: Sequence[str],
    *,
    source: str | None,
    preset: str | None,
    overrides: Mapping[str, Any] | None,
    with_ranking: bool,
    again: bool,
    update: bool,
    revision: str | None,
    token: str | None,
    progress: Progress,
) -> list[dict[str, Any]]:
    """See `ncfm_hub.run.evaluate`; a result for every target, in their order."""
    if update:
        _check_folders(targets)
    found: list[dict[str, Any]] = []
    shared = dict(overrides or {})
    first: Subject | None = None
    for target in targets:
        subject = open_subject(
            target, source=source, preset=preset, overrides=shared, revision=revision, token=token, progress=progress
        )
        if first is None:
            first = subject
            shared |= _recipe_for_all(subject)
        _check_comparable(first, subject)
        announce_evaluation(
            subject.recipe,
            subject.source.info,
            len(subject.labels),
            len(subject.source.test.labels),
            subject.engine,
            progress,
        )
        result = evaluate_subject(subject, with_ranking, student_journal(), progress, again=again)
        if update and subject.folder and subject.engine.accelerator.is_main_process:
            _update(subject.folder, result)
        found.append({"target": target, **result} if len(targets) > 1 else result)
    return found


def _recipe_for_all(first: Subject) -> dict[str, Any]:
    """The first set's evaluation, its updates settled, as overrides for the others: rows of a table are alike."""
    values = {key: value for key, value in first.recipe.evaluation.model_dump().items() if key != "epochs"}
    values["updates"] = first.plan().updates
    return {f"evaluation.{key}": value for key, value in values.items() if value is not None}


def _check_comparable(first: Subject, other: Subject) -> None:
    if other.source.fingerprint != first.source.fingerprint:
        raise DistilledError(
            f"{first.name} is measured on {first.source.info.dataset} and {other.name} on {other.source.info.dataset}, "
            "or on another part or size of it; sets of one table share one source: name it by --source, or measure "
            "them one by one"
        )


def _check_folders(targets: Sequence[str]) -> None:
    for target in targets:
        if not (Path(target).expanduser() / PIPELINE).is_file():
            raise DistilledError(f"{target} is not a folder of a distilled set, so that no card there can be updated")


def _update(folder: Path, result: dict[str, Any]) -> None:
    """Put what was measured in place of what the folder says.

    Other studies of the folder stay where they were made under the same protocol.
    """
    before = read_results(folder)
    if before.get("protocol") != result["protocol"]:
        before = {key: value for key, value in before.items() if key not in ("cross_architecture", "ranking")}
    write_json(folder / RESULTS, before | result)
    write_card(folder)
