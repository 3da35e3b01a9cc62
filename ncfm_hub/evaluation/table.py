"""The results table of a dataset: students (evaluation networks) on it and its baselines, by architecture."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.distillation.loop import checkpoint_settings, distill_images
from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.errors import Diverged
from ncfm_hub.evaluation.baselines import CHOSEN_BY_EXTRACTORS, select
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.protocol import Row, measure
from ncfm_hub.evaluation.ranking import ranking
from ncfm_hub.evaluation.students import StudentPlan, Students
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.extractors.soft_labels import soft_labels
from ncfm_hub.machine.locks import one_run
from ncfm_hub.publishing.dataset.dataset import decode_stored, to_pixels
from ncfm_hub.sources.types import ImageSet
from ncfm_hub.utils.files import cache_root
from ncfm_hub.utils.progress import Progress
from ncfm_hub.utils.sealed import discard_damaged

DM_BASELINE_FORMAT = 2  # of the DM baseline's checkpoints in the cache
# Rows before and after the distilled dataset, in table order.
_BEFORE, _AFTER = ("random", *CHOSEN_BY_EXTRACTORS, "start", "dm"), ("whole",)
SETS_IN_ORDER = (*_BEFORE, "distilled", *_AFTER)


def evaluate_subject(
    subject: Subject, with_ranking: bool, journal: Path | None, progress: Progress, again: bool = False
) -> dict[str, Any]:
    """Return rows, protocol and further results, as in results.json.

    The recipe names baselines and further architectures; every architecture is evaluated on the same rows.

    with_ranking: also compute the DD-Ranking metrics, which need random real images and the full training set
    journal, again: see `measure`
    """
    evaluation, plan, student = subject.recipe.evaluation, subject.plan(), subject.architecture()
    seeds = range(evaluation.students)
    result: dict[str, Any] = {"ncfm_hub": 1, "rows": [], "protocol": _protocol(subject, plan, student.name)}
    if not seeds:
        return result
    wanted = {*evaluation.baselines, *(("random", "whole") if with_ranking else ())}
    rows, test = _rows(subject, wanted, with_ranking, progress), subject.source.tested_on()

    def table(some: Sequence[Row], name: str | None = None, plan: StudentPlan = plan) -> list[dict[str, Any]]:
        students = Students(subject.architecture(name), plan, subject.engine)
        what = f"evaluating by {name}" if name else "evaluating"
        return measure(some, test, students, seeds, subject.engine, journal, progress, what, again)

    result["rows"] = table(rows)
    if evaluation.architectures:
        result["cross_architecture"] = [{"student": student.name, **row} for row in result["rows"]]
        for name in evaluation.architectures:
            full = subject.architecture(name).name
            try:
                result["cross_architecture"] += [{"student": full, **row} for row in table(rows, name)]
            except Diverged as error:  # the other architectures are still evaluated
                progress.note(f"{name} is left out: {error}")
    if with_ranking:
        result["ranking"] = _ranking(subject, rows, result["rows"], table)
    return result


def _protocol(subject: Subject, plan: StudentPlan, student: str) -> dict[str, Any]:
    source = subject.source
    return {
        "metric": "top-1 accuracy in percent at the last epoch",
        **({"split": source.info.test_split, "test_images": len(source.test.labels)} if source.test else {}),
        "distillations": 1,
        "students": subject.recipe.evaluation.students,
        "student": student,
        "updates": plan.updates,
        "batch_size": plan.batch_size,
        "recipe": asdict(plan),
    }


def _rows(subject: Subject, wanted: set[str], with_ranking: bool, progress: Progress) -> list[Row]:
    own = [Row("distilled", "hard", subject.training("hard"), subject.stored)]
    if own_labels(subject) == "soft":
        own.append(Row("distilled", "soft", subject.training("soft"), subject.stored))
    pool = None
    if wanted.intersection({*CHOSEN_BY_EXTRACTORS, "dm"}):
        pool = subject.extractors(progress)
    elif "random" in wanted and len(own) > 1:
        # Do not train extractors for hours for a row that was not requested by name.
        # Rows are distributed by index, so all processes need the same list.
        if with_ranking or subject.engine.decide_once(subject.has_extractors):
            pool = subject.extractors(progress)
        else:
            progress.note("no soft-label row for random real images: no extractor pool here; name one with --pool")
    # In table order: iterating over a Python set differs between processes.
    before, after = (
        [row for name in names if name in wanted for row in _baseline(name, subject, pool, progress)]
        for names in (_BEFORE, _AFTER)
    )
    return [*before, *own, *after]


def own_labels(subject: Subject) -> str:
    """Return the labels a dataset is meant to be used with: "soft" if it has them and the recipe enables them."""
    return "soft" if subject.soft_labels is not None and subject.recipe.evaluation.soft_labels else "hard"


def _baseline(name: str, subject: Subject, pool: Pool | None, progress: Progress) -> list[Row]:
    """Return the rows of a baseline; empty if it does not apply to this dataset."""
    if name == "whole":
        every = subject.source.train
        return [_hard(subject, name, every, len(every.labels))]
    if name == "start":
        start = subject.start()
        if start is None:
            progress.note(f"{subject.name} is a third-party dataset: its initialisation is unknown and is left out")
        return [Row(name, "hard", start, subject.stored)] if start else []
    if name == "dm":
        assert pool is not None
        stored = subject.ipc * len(subject.class_names)
        return [_hard(subject, name, match_means(subject, pool, progress), stored, pool)]
    chosen = select(name, subject.source, subject.ipc, subject.seed, pool, subject.engine, progress)
    stored = len(chosen.labels)
    rows = [_hard(subject, name, chosen, stored, pool if name in CHOSEN_BY_EXTRACTORS else None)]
    if name == "random" and own_labels(subject) == "soft" and pool is not None:
        labelled = soft_labels(chosen.images, pool, subject.engine, progress=progress, classes=subject.class_names)
        labelled_set = TrainingSet(chosen.images, chosen.labels, labelled)
        rows.append(Row(name, "soft", labelled_set, stored, pool.digest))
    return rows


def _hard(subject: Subject, name: str, images: ImageSet, stored: int, pool: Pool | None = None) -> Row:
    digest = pool.digest if pool else None
    return Row(name, "hard", TrainingSet(images.images, images.labels), stored, digest)


def match_means(subject: Subject, pool: Pool, progress: Progress) -> ImageSet:
    """Run the distribution matching (DM) baseline with the same source, pool, initialisation, steps and storage budget.

    Matches feature means only, without calibration (Zhao and Bilen, WACV 2023). Resumes from a checkpoint in the cache.
    """
    changed = {"matching": "mean", "calibration": 0.0, "sampling_network": False, "orthogonal": False, "bank": None}
    recipe = subject.recipe.distillation.model_copy(update=changed | {"ipc": subject.ipc})
    info, engine = subject.source.info, subject.engine
    settings = settings_of(recipe, info, subject.recipe.source.flip, engine.device.type, engine.processes)
    # Pools of one key may differ in weights, for example if trained on another machine.
    shared = checkpoint_settings(subject.source, pool, settings, engine) | {
        "weights": pool.digest,
        "format": DM_BASELINE_FORMAT,
    }
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:32]
    checkpoint = cache_root() / "baselines" / f"dm-{digest}.safetensors"
    progress.note("distilling the baseline dm (distribution matching)")
    with one_run(checkpoint.with_suffix(".lock"), engine, progress, "distilling the same by feature means"):
        engine.decide_once(lambda: discard_damaged(checkpoint, progress))
        made = distill_images(subject.source, pool, settings, engine, checkpoint, True, progress)
    images = decode_stored(to_pixels(made.stored), recipe.factor)
    return ImageSet(images, torch.arange(len(info.class_names)).repeat_interleave(subject.ipc * recipe.factor**2))


def _ranking(
    subject: Subject,
    rows: Sequence[Row],
    measured: Sequence[dict[str, Any]],
    table: Callable[..., list[dict[str, Any]]],
) -> dict[str, Any]:
    """Compute the DD-Ranking metrics; rows without augmentation are measured here."""
    own = own_labels(subject)
    plain = replace(subject.plan(), augment=False, cutmix=0.0)
    pair = [row for row in rows if row.key in (("distilled", own), ("random", own))]
    without = table(pair, plan=plain)

    def values(some: Sequence[dict[str, Any]], name: str, labels: str) -> list[float]:
        (row,) = (row for row in some if (row["set"], row["labels"]) == (name, labels))
        return list(row["accuracy"]["values"])

    return {
        **ranking(
            real_hard=values(measured, "whole", "hard"),
            distilled_hard=values(measured, "distilled", "hard"),
            distilled_own=values(measured, "distilled", own),
            random_own=values(measured, "random", own),
            distilled_plain=values(without, "distilled", own),
            random_plain=values(without, "random", own),
        ),
        "labels": own,
        "without_augmentation": without,
    }
