"""Results of a class-incremental study: all values, means and deviations, paired differences and the protocol."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.evaluation.continual.memories import DISTILLED, Memory
from ncfm_hub.evaluation.continual.seen_classes import ClassOrder
from ncfm_hub.evaluation.protocol import summarise
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.publishing.dataset.dataset import images_digest
from ncfm_hub.utils.counting import counted

METRIC = "top-1 accuracy in percent over the test images of the classes seen so far, at the last epoch, after each step"


def continual_results(
    subject: Subject,
    memories: Sequence[Memory],
    orders: Sequence[ClassOrder],
    sizes: Sequence[int],
    rows: Mapping[str, Sequence[Sequence[dict[str, Any]]]],
    seed: int,
) -> dict[str, Any]:
    """Return the content of `continual.json`.

    sizes: number of classes seen after each step
    rows: from `measure_steps`
    """
    found = {memory.name: _summary(memory, sizes, rows[memory.name]) for memory in memories}
    others = [name for name in found if name != DISTILLED] if DISTILLED in found else []
    plan = subject.plan()
    return {
        "ncfm_hub": 1,
        "set": Path(subject.name).name,
        "images_sha256": images_digest(subject.images, subject.labels),
        "class_names": list(subject.class_names),
        "orders": [asdict(order) for order in orders],
        "memories": list(found.values()),
        "differences": [_difference(found[DISTILLED], found[name]) for name in others],
        "protocol": {
            "metric": METRIC,
            "split": subject.source.info.test_split,
            "test_images": len(subject.source.tested_on().labels),
            "labels": memories[0].labels,
            "steps": len(sizes),
            "orders": len(orders),
            "seed": seed,
            "chance": [round(100 / size, 2) for size in sizes],
            "student": subject.architecture().name,
            "updates": plan.updates,
            "batch_size": plan.batch_size,
            "recipe": asdict(plan),
            "notes": _notes(subject, memories, sizes),
        },
    }


def paired(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Summarise first - second over orders: n, mean, standard error of the mean, sample standard deviation, values."""
    values = [one - other for one, other in zip(first, second, strict=True)]
    found = summarise(values)
    error = round(statistics.stdev(values) / len(values) ** 0.5, 2) if len(values) > 1 else None
    return {"n": found["n"], "mean": found["mean"], "standard_error": error} | found


def _summary(memory: Memory, sizes: Sequence[int], steps: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Summarise a memory. steps: for each step, one student's row per order."""

    def figures(rows: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
        return summarise([value for row in rows for value in row[key]["values"]])

    measured = [
        {
            "classes": size,
            "accuracy": figures(rows, "accuracy"),
            "train_accuracy": figures(rows, "train_accuracy"),
            "seconds": round(sum(row["seconds"] for row in rows), 1),
        }
        for size, rows in zip(sizes, steps, strict=True)
    ]
    return {
        "memory": memory.name,
        "labels": memory.labels,
        "stored_per_class": memory.stored_per_class,
        "images_per_class": memory.images_per_class,
        "steps": measured,
        "average_incremental": summarise(_averages(measured)),
    }


def _difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return by how much `one` exceeds `other`, after each step and averaged over steps."""
    return {
        "memory": one["memory"],
        "minus": other["memory"],
        "steps": [
            {"classes": first["classes"]} | paired(first["accuracy"]["values"], second["accuracy"]["values"])
            for first, second in zip(one["steps"], other["steps"], strict=True)
        ],
        "average_incremental": paired(_averages(one["steps"]), _averages(other["steps"])),
    }


def _averages(steps: Sequence[dict[str, Any]]) -> list[float]:
    """Return the average incremental accuracy of each order: the mean over steps."""
    return [statistics.fmean(values) for values in zip(*(step["accuracy"]["values"] for step in steps), strict=True)]


def _made_with(parts: int | None) -> str:
    if parts is None:
        return "which classes were at hand when the distilled images were made is not known"
    if parts > 1:
        return f"the distilled images were made in {parts} parts, each with the classes of its own at hand"
    return "the distilled images were made with all classes at hand"


def _notes(subject: Subject, memories: Sequence[Memory], sizes: Sequence[int]) -> list[str]:
    """Return notes needed to interpret the numbers, one sentence each."""
    names, side = [memory.name for memory in memories], subject.images.shape[-1]
    notes = [
        f"every memory keeps {counted(subject.ipc, 'stored image')} of {side} x {side} px of each class seen so far; "
        f"each student is trained on it from scratch with {counted(subject.plan().updates, 'update')}"
    ]
    counts = torch.bincount(subject.labels).tolist()
    if DISTILLED in names and min(counts) < max(counts):
        notes.append(f"except {DISTILLED}, which has from {min(counts)} to {max(counts)} images of a class")
    added = [after - before for before, after in zip([0, *sizes[:-1]], sizes, strict=True)]
    if added[0] > added[-1]:
        larger = added.count(added[0])
        notes.append(
            f"{sizes[-1]} classes do not divide among {len(sizes)} steps: {larger} of {counted(added[0], 'class')}, "
            f"then {len(sizes) - larger} of {added[-1]}"
        )
    if "random" in names:
        notes.append("the random memory is drawn anew for each order")
    if DISTILLED in names:
        notes.append(_made_with(subject.parts))
    if "herding" in names:
        notes.append("the images of herding were chosen by a network that had been trained on all classes")
    if memories[0].labels == "soft":
        notes.append(
            "soft labels are restricted to the classes seen so far and made to sum to 1; the teacher that gave them "
            "has seen all classes"
        )
    return notes
