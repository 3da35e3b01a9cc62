"""The sections of a report in template order: numbers turned into charts.

A section without measurements is empty, and the template omits it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ncfm_hub.evaluation.ranking import label_robust_score
from ncfm_hub.publishing.cards import statements
from ncfm_hub.publishing.cards.dataset_card import recipe_rows
from ncfm_hub.publishing.cards.growth import classes_of_losses, growth_of
from ncfm_hub.publishing.cards.header import LICENSE_KEYS
from ncfm_hub.publishing.cards.origin import origin_of
from ncfm_hub.reporting.charts import Axis, ChartBar, Line, Plot, make_axis, make_bar, make_plot
from ncfm_hub.reporting.gather import Gathered
from ncfm_hub.reporting.measurements import Accuracy, MeasuredDistillation, MeasuredRow, Ranking, Summary
from ncfm_hub.reporting.sheet import Strip, make_grid, make_strips
from ncfm_hub.reporting.studies import continual_plot, search_plot
from ncfm_hub.utils.counting import counted

_NAMES = statements.NAMES
_TONES = {name: name for name in ("distilled", "start", "random", "whole")}  # rows with their own colour
_OTHER = "other"
_KINDS = ("hard", "soft")
# (row, labels) in the per-class comparison and in the summary, in this order
_DOTTED = (("distilled", "hard"), ("distilled", "soft"), ("start", "hard"), ("random", "hard"))
_SUMMED_UP = (*_DOTTED, ("whole", "hard"))


def sections_of(it: Gathered, sets_on_page: int = 1) -> dict[str, Any]:
    """Return the template's values for a dataset. sets_on_page: number of datasets that share the room for images."""
    source, recipe = it.described["source"], it.described["recipe"]
    rows = [row for row in it.measured.rows if row.accuracy]
    return {
        "name": it.name,
        "title": f"{it.described['name']}, {counted(it.distilled.ipc, 'image')} per class",
        "imported": origin_of(it.described["imported"]) if "imported" in it.described else [],
        "pipeline": it.described,
        "source": source,
        "factor": it.distilled.factor,
        "licence": statements.licence({key: source.get(key) for key in LICENSE_KEYS}),
        "stored": len(it.distilled.stored),
        "decoded": len(it.distilled.images),
        "classes": len(it.distilled.class_names),
        "shape": tuple(it.distilled.stored.shape[1:]),
        "tiles": _tiles(rows),
        "sheet": _sheet(it, sets_on_page),
        "start_note": it.start_note,
        "bars": _bars(rows),
        "measured_how": statements.measured_how(it.measured.protocol),
        "comparisons": statements.remarks(
            (row.model_dump() for row in rows), it.described.get("pool", {}).get("digest")
        ),
        "loss": _loss(it.measured.distillation),
        "distillation": it.measured.distillation,
        "classes_of_losses": classes_of_losses(it.measured.distillation.model_dump()),
        "heat": _heat(it.measured.cross_architecture),
        "by_class": _by_class(rows, it.distilled.class_names),
        "ranking": _ranking(it.measured.ranking),
        "ranking_labels": it.measured.ranking.labels,
        "continual": it.continual,
        "continual_plot": continual_plot(it.continual, _TONES) if it.continual else None,
        "search": it.search,
        "search_plot": search_plot(it.search, _TONES) if it.search else None,
        "objective": statements.objective(recipe["distillation"]),
        "growth": growth_of(it.described),
        "recipe": recipe_rows(it.described, it.measured.protocol, tuple(recipe)),
    }


def compare(sets: Sequence[Gathered]) -> list[tuple[str, Axis, list[ChartBar]]]:
    """Return one chart per kind of labels with the distilled rows of several datasets."""
    found = [(it.name, row) for it in sets for row in it.measured.rows if row.accuracy and row.set == "distilled"]
    return _grouped([(row, name, "distilled") for name, row in found])


def _tiles(rows: Sequence[MeasuredRow]) -> list[tuple[str, str, str, Accuracy]]:
    """Return (name, labels, tone, accuracy) of the summary rows that were measured."""
    by_key = {(row.set, row.labels): row for row in rows}
    wanted = [by_key[key] for key in _SUMMED_UP if key in by_key]
    return [(_NAMES[row.set], row.labels, _TONES.get(row.set, _OTHER), row.accuracy) for row in wanted if row.accuracy]


def _sheet(it: Gathered, sets_on_page: int) -> dict[str, Any]:
    """Return, for each class shown, its name and strips of the initialisation and of distilled images."""
    distilled, names = it.distilled, it.distilled.class_names
    sides = 1 if it.start is None else 2
    grid = make_grid(len(names), distilled.ipc, distilled.stored.shape[-1], sides * sets_on_page)
    stored = make_strips(distilled.stored.numpy(), distilled.ipc, grid)
    start: Sequence[Strip | None] = [None] * len(stored)
    if it.start is not None:
        start = make_strips(it.start.numpy(), distilled.ipc, grid)
    return {
        "rows": list(zip(names, start, stored, strict=False)),
        "columns": grid.columns,
        "ipc": distilled.ipc,
        "hidden": len(names) - grid.classes,
        "has_start": it.start is not None,
    }


def _bars(rows: Sequence[MeasuredRow]) -> list[tuple[str, Axis, list[ChartBar]]]:
    return _grouped([(row, _NAMES.get(row.set, row.set), _TONES.get(row.set, _OTHER)) for row in rows])


def _grouped(rows: Sequence[tuple[MeasuredRow, str, str]]) -> list[tuple[str, Axis, list[ChartBar]]]:
    """Return (labels, axis, bars) for each kind of labels, from (row, name, tone), on a common axis."""
    figures = [row.accuracy for row, _, _ in rows if row.accuracy]
    if not figures:
        return []
    highest = max(figure.mean + (figure.std or 0) for figure in figures)
    axis = make_axis([0, min(100, highest)], "test accuracy (%)")
    kinds = sorted({row.labels for row, _, _ in rows}, key=lambda kind: (kind not in _KINDS, kind))
    return [
        (
            kind,
            axis,
            [
                make_bar(name, tone, row.accuracy.mean, row.accuracy.std, row.accuracy.n, axis)
                for row, name, tone in rows
                if row.labels == kind and row.accuracy
            ],
        )
        for kind in kinds
    ]


def _loss(distillation: MeasuredDistillation) -> Plot | None:
    if len(distillation.curve) < 2:
        return None
    (first, begin), (last, end) = distillation.curve[0], distillation.curve[-1]
    said = f"Loss from {begin:.4g} at step {first:,} to {end:.4g} at step {last:,}"
    points = tuple((float(step), loss) for step, loss in distillation.curve)
    return make_plot([Line("loss", "distilled", points)], "step", "loss", said)


@dataclass(frozen=True)
class Cell:
    """A number in a table, with its relative position, 0 to 1, between the table's minimum and maximum."""

    figure: Accuracy
    share: float


def _heat(rows: Sequence[MeasuredRow]) -> dict[str, Any] | None:
    """Return a table with a row per training set and a column per architecture."""
    found = {(row.set, row.labels, row.student): row.accuracy for row in rows if row.accuracy and row.student}
    if not found:
        return None
    low, high = (pick(figure.mean for figure in found.values()) for pick in (min, max))
    cells = {key: Cell(figure, (figure.mean - low) / ((high - low) or 1)) for key, figure in found.items()}
    students = list(dict.fromkeys(student for _, _, student in found))
    sets = dict.fromkeys((name, labels) for name, labels, _ in found)
    return {
        "students": students,
        "rows": [
            (_NAMES.get(name, name), labels, [cells.get((name, labels, student)) for student in students])
            for name, labels in sets
        ],
    }


def _by_class(rows: Sequence[MeasuredRow], names: Sequence[str]) -> dict[str, Any] | None:
    """Return the accuracy of each class as one dot per compared row; best class first."""
    by_key = {(row.set, row.labels): row for row in rows if row.per_class}
    chosen = [by_key[key] for key in _DOTTED if key in by_key] or list(by_key.values())[:4]
    if not chosen:
        return None
    leading = chosen[0].per_class

    def rank(c: int) -> tuple[bool, float]:
        value = leading[c]
        return value is None, -(value or 0)

    series = [(_NAMES.get(row.set, row.set), row.labels, _TONES.get(row.set, _OTHER), row.per_class) for row in chosen]
    return {
        "legend": [(name, labels, tone) for name, labels, tone, _ in series],
        "rows": [
            (names[c], leading[c], [(name, labels, tone, values[c]) for name, labels, tone, values in series])
            for c in sorted(range(len(names)), key=rank)
        ],
    }


def _ranking(found: Ranking) -> list[tuple[str, str, Summary, float]]:
    """Return (name, meaning, figure, factor): HLR and IOR are shown in percentage points, scores from 0 to 1."""
    neutral = label_robust_score(0, 0)
    meanings = {
        "HLR": ("Hard label recovery: gap to the full training set, hard labels", 100),
        "IOR": ("Improvement over random real images with labels of the same kind", 100),
        "IOR_plain": ("IOR without augmentation", 100),
        "LRS": (f"Label robust score, from IOR and HLR; {neutral:.3f} if they cancel", 1),
        "ARS": (f"Augmentation robust score, from IOR with and without augmentation; {neutral:.3f} for none", 1),
    }
    figures = ((name, meaning, getattr(found, name), factor) for name, (meaning, factor) in meanings.items())
    return [(name.replace("_", " "), meaning, figure, factor) for name, meaning, figure, factor in figures if figure]
