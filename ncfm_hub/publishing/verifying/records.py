"""Checks of what a dataset says about itself: provenance, results and card."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards.card_set import CardSet
from ncfm_hub.publishing.cards.dataset_card import render_cards
from ncfm_hub.publishing.cards.section import section_of
from ncfm_hub.publishing.cards.statements import SETS
from ncfm_hub.publishing.dataset.layout import CARD, PIPELINE, RESULTS, TENSORS
from ncfm_hub.publishing.dataset.provenance import recipe_of
from ncfm_hub.publishing.verifying.contents import Contents, NotRead
from ncfm_hub.utils.counting import counted

_ALWAYS = ("ncfm_hub", "name", "preset", "ipc", "recipe", "source", "versions", "created")
_OF_RUN = ("seed", "pool", "machine", "wall_time_seconds")
_INSIDE: Mapping[str, tuple[str, ...]] = {
    "source": ("dataset", "class_names", "train_split", "resolution", "channels", "fingerprint"),
    "pool": ("key", "digest", "architecture", "members", "origin"),
    "versions": ("ncfm_hub", "torch"),
    "imported": ("sha256",),
}
_ROUNDED = 0.011  # figures and their values are rounded to 0.01 each


def check_provenance(it: Contents) -> str:
    """pipeline.yaml has all that is needed to make the dataset again, and fits the images."""
    if it.pipeline.problem:
        raise DistilledError(it.pipeline.problem)
    described = it.pipeline.get()
    imported = "imported" in described
    wanted = (*_ALWAYS, *(("imported",) if imported else _OF_RUN))
    missing = [key for key in wanted if described.get(key) is None]
    for section, keys in _INSIDE.items():
        if section in wanted and section not in missing:
            missing += [f"{section}.{key}" for key in keys if described[section].get(key) is None]
    source = described.get("source") or {}
    if source.get("is_local") is False and not source.get("revision"):
        missing.append("source.revision")
    if missing:
        raise DistilledError(f"{PIPELINE} lacks {', '.join(missing)}")
    recipe_of(described, it.folder / PIPELINE)
    if it.tensors.content is not None:
        channels, resolution = it.tensors.content.images.shape[1:3]
        for key, found in (("resolution", resolution), ("channels", channels)):
            if source[key] != found:
                raise DistilledError(f"{PIPELINE} says {key} {source[key]}; the images have {found}")
    at = f" at {str(source['revision'])[:12]}" if source.get("revision") else ""
    by = "imported" if imported else f"seed {described['seed']}"
    return f"source {source['dataset']}{at}, {by}, every setting readable"


def check_results(it: Contents) -> str:
    """Means and deviations in results.json follow from its values, and its rows are of these images."""
    if it.results.problem:
        raise DistilledError(it.results.problem)
    results = it.results.get()
    if not results and "imported" not in it.pipeline.get():
        raise DistilledError(f"there is no {RESULTS}")
    measured, students, count = results.get("rows") or [], (results.get("protocol") or {}).get("students"), 0
    for where, figure, row in _figures(results):
        check_figure(where, figure)
        if row in measured and students is not None and figure["n"] != students:
            raise DistilledError(f"{RESULTS}: {where} is of n={figure['n']} students; the protocol says {students}")
        count += 1
    stated = [row["images"] for row in measured if row["set"] == "distilled"]
    if it.tensors.content is not None and any(images != it.tensors.content.decoded for images in stated):
        raise DistilledError(
            f"{RESULTS} is of {stated[0]} distilled images; {TENSORS} decodes into {it.tensors.content.decoded}"
        )
    return f"mean and deviation of {counted(count, 'accuracy', 'accuracies')} follow from the values"


def _figures(results: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Yield (where it stands, figure, row) for all accuracies."""
    for part in ("rows", "cross_architecture"):
        for row in results.get(part) or []:
            named = " ".join(str(row[key]) for key in ("set", "labels", "student") if key in row)
            for key in ("accuracy", "train_accuracy"):
                if row.get(key):
                    yield f"{key} of {named}", row[key], row


def check_figure(where: str, figure: Mapping[str, Any]) -> None:
    """Raise DistilledError unless the mean and deviation of an accuracy in results.json follow from its values."""
    values = [float(value) for value in figure["values"]]
    if len(values) != figure["n"] or not values:
        raise DistilledError(f"{RESULTS}: {where} has n={figure['n']} and {counted(len(values), 'value')}")
    if not all(0 <= value <= 100 for value in values):
        raise DistilledError(f"{RESULTS}: {where} has values that are no percentages")
    expected = {"mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else None}
    for name, value in expected.items():
        found = figure.get(name)
        same = found is None if value is None else isinstance(found, float | int) and abs(found - value) <= _ROUNDED
        if not same:
            should = "none" if value is None else f"{value:.2f}"
            raise DistilledError(f"{RESULTS}: {name} of {where} is {found}; its values give {should}")


def check_card(it: Contents) -> str:
    """Every number on the card that comes from results.json is the one that stands there."""
    if it.card.problem:
        raise DistilledError(it.card.problem)
    card, pipeline, results = it.card.get(), it.pipeline.get(), it.results.get()
    if not card.block:
        raise DistilledError(f"{CARD} has no generated part")
    (row, measured), (_, plain) = (_rendered(it.at.name, pipeline, some) for some in (results, {}))
    expected = _tables(measured) - _tables(plain)
    missing = _missing(expected, _tables(card.block)) or _missing_cell(row, _overview(card.block, it.at.name)[0])
    if missing:
        raise DistilledError(f"{CARD} lacks what {RESULTS} gives: {missing}")
    if card.edited_text:
        raise DistilledError(f"{CARD}: the generated part was edited by hand; write above or below it")
    return f"{counted(expected.total(), 'line')} of numbers equal those of {RESULTS}"


def _rendered(name: str | None, pipeline: dict[str, Any], results: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Return what a card says of a dataset: its row in the overview, which the former layout lacks, and its section."""
    try:
        if name is None:
            return {}, section_of(CardSet("", pipeline, results))
        return _overview(render_cards([CardSet(name, pipeline, results)], repo_id=None, default=None).card.block, name)
    except (DistilledError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise NotRead(f"{PIPELINE} or {RESULTS} is not as documented: {error}") from error


def _overview(block: str, name: str | None) -> tuple[dict[str, str], str]:
    """Return the cells of a dataset in the first table of a card, by column, and the text below that table."""
    lines = block.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("|")), len(lines))
    rows = list(takewhile(lambda line: line.startswith("|"), lines[first:]))
    header, *cells = ([cell.strip() for cell in row.strip()[1:-1].split("|")] for row in rows) if rows else [[]]
    row = next((dict(zip(header, row, strict=False)) for row in cells if row[0] == f"`{name}`"), {})
    return row, "\n".join(lines[first + len(rows) :])


def _missing_cell(expected: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """Return a cell of the overview that is another on the card; None if all are as expected.

    Beside other datasets, a card has columns that this one alone would not have.
    """
    return next((f"{key} {cell}" for key, cell in expected.items() if cell != there.get(key)), None)


def _tables(text: str) -> Counter[str]:
    """Return the lines of a text that belong to tables."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return Counter(line for line in lines if line.startswith("|"))


def _missing(expected: Counter[str], there: Counter[str]) -> str | None:
    """Return a line of `expected` that is not `there`; None if all are.

    Other versions name rows differently, so a line may have another first cell, unless this one knows it for a row.
    """
    known = set(SETS.values())
    renamed = Counter(
        numbers for name, numbers in map(_name_and_numbers, (there - expected).elements()) if name not in known
    )
    for line in (expected - there).elements():
        numbers = _name_and_numbers(line)[1]
        if not renamed[numbers]:
            return line
        renamed[numbers] -= 1
    return None


def _name_and_numbers(line: str) -> tuple[str, str]:
    name, _, numbers = line.removeprefix("|").partition("|")
    return name.strip(), numbers
