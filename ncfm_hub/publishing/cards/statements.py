"""Sentences on a card about its numbers; only measured ones are mentioned."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ncfm_hub.publishing.cards.escaping import Ready, code, inline, link, web_address
from ncfm_hub.utils.counting import counted, things

ResultRow = Mapping[str, Any]

BASELINES = {
    "random": "random real images",
    "herding": "herding",
    "k-center": "k-center",
    "el2n": "EL2N (highest)",
    "start": "initialisation (real tiles)",
    "dm": "distribution matching (DM)",
}
NAMES = {**BASELINES, "distilled": "distilled", "whole": "full training set"}
SETS = {**NAMES, "distilled": Ready("**distilled**")}

RANKING = {
    "HLR": "hard label recovery, full training set minus distilled (hard labels, equal updates)",
    "IOR": "improvement over random, distilled minus random real images",
    "IOR_plain": "IOR without augmentation",
    "LRS": "label robust score, from HLR and IOR; 0 to 1, higher is better",
    "ARS": "augmentation robust score, from IOR with and without augmentation; 0 to 1, higher is better",
}


def measured_how(protocol: Mapping[str, Any]) -> Ready | None:
    """Return a line on the protocol: metric, split, number of distillations and of students (evaluation networks)."""
    if "metric" not in protocol:
        return None
    metric = str(protocol["metric"])
    parts = [f"{inline(metric[:1].upper() + metric[1:])}"]
    if "split" in protocol:
        images = f" ({counted(protocol['test_images'], 'image')})" if "test_images" in protocol else ""
        parts.append(f" on the source's {code(protocol['split'])} split{images}")
    if "distillations" in protocol and "students" in protocol:
        runs, students = protocol["distillations"], protocol["students"]
        parts.append(
            f"; {inline(runs)} {things(runs, 'distillation')} x {inline(students)} "
            f"{things(students, 'evaluation network')} ({things(students, 'student')})"
        )
    if "student" in protocol:
        parts.append(f", {code(protocol['student'])}")
    if "updates" in protocol and "batch_size" in protocol:
        work = f"{counted(protocol['updates'], 'update')} of {counted(protocol['batch_size'], 'image')}"
        parts.append(f", each trained for {work}, the same for every row")
    return Ready("".join(parts) + ".")


def remarks(rows: Iterable[ResultRow], own_extractors: str | None) -> list[Ready]:
    """Return the remarks below a table; see `comparisons` and `other_extractors`."""
    rows = list(rows)
    return [*comparisons(rows), *other_extractors(rows, own_extractors)]


def comparisons(rows: Iterable[ResultRow]) -> list[Ready]:
    """Return a sentence for each baseline that equals or outperforms the distilled dataset."""
    rows = list(rows)
    said = []
    for baseline, name in BASELINES.items():
        found = _not_beaten(rows, baseline)
        if found:
            cases = " and ".join(
                f"{ours['accuracy']['mean']:.1f} against {other['accuracy']['mean']:.1f} with {_kinds(ours, other)}"
                for ours, other in found
            )
            said.append(
                Ready(
                    f"**{name[:1].upper()}{name[1:]} did as well as the distilled dataset or better** with these "
                    f"settings: distilled {cases}."
                )
            )
    return said


def other_extractors(rows: Iterable[ResultRow], own: str | None) -> list[Ready]:
    """Return a sentence on rows that depend on extractors other than the dataset's own, whose digest is `own`.

    Empty if there are none, or the dataset's are unknown.
    """
    strange = [row for row in rows if row.get("extractors") not in (None, own)]
    if own is None or not strange:
        return []
    named = ", ".join(f"{SETS.get(row['set'], inline(row['set']))} ({inline(row['labels'])} labels)" for row in strange)
    return [Ready(f"Selected, distilled or labelled with another extractor pool than the dataset itself: {named}.")]


def _not_beaten(rows: list[ResultRow], baseline: str) -> list[tuple[ResultRow, ResultRow]]:
    """Return (distilled row, baseline row) where the baseline's mean is not lower.

    Rows with equal labels are compared, else the best of each.
    """
    ours, others = ([row for row in rows if row["set"] == name] for name in ("distilled", baseline))
    pairs = [(a, b) for a in ours for b in others if a["labels"] == b["labels"]]
    if not pairs and ours and others:
        pairs = [(max(ours, key=_mean), max(others, key=_mean))]
    lost = [(a, b) for a, b in pairs if _mean(b) >= _mean(a)]
    # Random real images with soft labels may outperform a distilled dataset without such a row.
    if not lost and ours and others and _mean(max(others, key=_mean)) >= _mean(max(ours, key=_mean)):
        lost = [(max(ours, key=_mean), max(others, key=_mean))]
    return lost


def _mean(row: ResultRow) -> float:
    return float(row["accuracy"]["mean"])


def _kinds(ours: ResultRow, other: ResultRow) -> str:
    one, two = inline(ours["labels"]), inline(other["labels"])
    return f"{one} labels" if one == two else f"{one} labels against {two} labels"


def by_architecture(rows: Sequence[ResultRow]) -> dict[str, Any]:
    """Return names of the architectures, and a line of figures per training set; {} if only one was evaluated."""
    if not rows:
        return {}
    students = list(dict.fromkeys(row["student"] for row in rows))
    sets = list(dict.fromkeys((row["set"], row["labels"]) for row in rows))
    found = {(row["set"], row["labels"], row["student"]): row["accuracy"] for row in rows}
    lines = [
        {"set": name, "labels": labels, "figures": [found.get((name, labels, student)) for student in students]}
        for name, labels in sets
    ]
    return {"students": students, "lines": lines}


def objective(distillation: Mapping[str, Any]) -> list[Ready]:
    """Describe the objective: calibration weight and sampling network, from a recipe's distillation section."""
    said = []
    weight = distillation.get("calibration")
    means = distillation.get("matching") == "mean"
    debiased = distillation.get("sampling_objective") == "debiased"
    ascended = "squared distance of characteristic functions, debiased for sampling" if debiased else "discrepancy"
    matched = "distance of feature means" if means else "characteristic-function discrepancy"
    if weight == 0 and means:
        said.append("Calibration weight w = 0: no cross-entropy term.")
    elif weight == 0:
        said.append("Calibration weight w = 0: the minmax objective alone, no cross-entropy term.")
    elif weight is not None:
        said.append(
            f"Calibration weight w = {weight:g}: the objective is 300 times the {matched} "
            f"plus {weight:g} times the cross-entropy of the trained network on the decoded, augmented images."
        )
    if means:
        said.append("Distribution matching (DM): feature means were matched instead of characteristic functions.")
    elif distillation.get("orthogonal"):
        said.append("The frequencies were sampled in orthogonal blocks.")
    if distillation.get("bank"):
        said.append(
            f"Statistics of the real images came from a bank of {inline(distillation['bank'])} random draws, "
            f"bank seed {inline(distillation.get('bank_seed', 0))}; datasets distilled from one bank share them."
        )
    if not means and "sampling_network" in distillation:
        said.append(
            f"Sampling network on: frequencies are sampled by a network trained to maximise the {ascended}."
            if distillation["sampling_network"]
            else "Sampling network off: frequencies are sampled from a fixed normal distribution."
        )
    return [Ready(line) for line in said]


def licence(source: Mapping[str, Any]) -> Ready | None:
    """Describe the licence stated by a source, with the name and URL in its card; None if it states none."""
    said = [code(source[key]) for key in ("license", "license_name") if source.get(key)]
    address = web_address(source.get("license_link"))
    if address:
        said.append(link(address))
    return Ready(", ".join(said)) if said else None
