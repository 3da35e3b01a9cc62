"""Write the card of a folder or repository of distilled datasets: a row and a section for each."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards import statements
from ncfm_hub.publishing.cards.card_set import CardSet
from ncfm_hub.publishing.cards.header import dataset_header, default_of
from ncfm_hub.publishing.cards.merging import Card, make_card, merge_cards, parse_card
from ncfm_hub.publishing.cards.overview import overview_of
from ncfm_hub.publishing.cards.plot import draw_plot
from ncfm_hub.publishing.cards.pool_card import write_pool_card as write_pool_card
from ncfm_hub.publishing.cards.read_set import read_card_set
from ncfm_hub.publishing.cards.section import recipe_rows as recipe_rows
from ncfm_hub.publishing.cards.section import section_of
from ncfm_hub.publishing.cards.templates import render
from ncfm_hub.publishing.dataset.layout import CARD, PIPELINE, PLOT, RESULTS
from ncfm_hub.publishing.dataset.names import default_name, natural_order
from ncfm_hub.publishing.dataset.place import finished_in
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.files import whole_file, write_text

TEMPLATE = "distilled_dataset.md.j2"
# Where the template names the repository; a path to a folder does not match.
_REPOSITORY = re.compile(r'^train = load_dataset\("([\w.-]+(?:/[\w.-]+)?)"', re.MULTILINE)


@dataclass(frozen=True)
class Rendered:
    """A card, and its plot of accuracy over IPC as PNG; None where there is nothing to compare."""

    card: Card
    plot: bytes | None


def render_card(pipeline: dict[str, Any], results: dict[str, Any], *, repo_id: str | None) -> str:
    """Render the README of one distilled dataset from the content of pipeline.yaml and results.json.

    repo_id: where it will be published; None for a folder without a repository. Missing facts are left out
    Raises DistilledError if a required fact is missing.
    """
    name = default_name(pipeline.get("ipc", 0))
    return render_cards([CardSet(name, pipeline, results)], repo_id=repo_id, default=name).card.text()


def render_cards(sets: Sequence[CardSet], *, repo_id: str | None, default: str | None) -> Rendered:
    """Render the card of several distilled datasets, in the order of their names.

    default: the one that is loaded where none is named; the first if None or not among them
    Raises DistilledError if a required fact is missing.
    """
    sets = sorted(sets, key=lambda one: natural_order(one.name))
    try:
        first = next((one.name for one in sets if one.name == default), sets[0].name)
        title, overview = _title(sets), overview_of(sets)
        context = {
            "title": title,
            "sets": sets,
            "overview": overview,
            "sources": list(dict.fromkeys(one.pipeline["source"]["dataset"] for one in sets)),
            "plot": overview.plotted,
            "default": first,
            "sections": [(one, section_of(one)) for one in sets],
            "licences": _licences(sets),
            "citations": list(dict.fromkeys(one.pipeline["source"].get("citation") for one in sets)),
            "imported": all("imported" in one.pipeline for one in sets),
            "repo_id": repo_id,
        }
        card = make_card(dataset_header(title, sets, first), render(TEMPLATE, context))
        return Rendered(card, draw_plot(overview.rows) if overview.plotted else None)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DistilledError(f"{PIPELINE} or {RESULTS} is not as documented: {type(error).__name__} {error}") from error


def write_card(root: Path, *, repo_id: str | None = None, default: str | None = None) -> None:
    """Write or update `root/README.md`; header fields and text that a person added or changed are kept.

    repo_id: where the datasets will be published; default: the repository named in the existing card, if it is of one
        of these datasets
    default: the one that is loaded where none is named; None for that of the existing card
    Raises DistilledError if files are missing or contradict each other.
    """
    with _alone(root):
        sets = [read_card_set(place) for place in finished_in(root)]
        if not sets:
            raise DistilledError(f"{root} is not a distilled dataset of ncfm-hub: it has no {PIPELINE}")
        before = read_card(root)
        default = default or (default_of(before.header) if before else None)
        made = render_cards(sets, repo_id=repo_id, default=default)
        named = _repository_named(before, made.card.header) if before and repo_id is None else None
        if named:
            made = render_cards(sets, repo_id=named, default=default)
        write_rendered(root, Rendered(merge_cards(made.card, before) if before else made.card, made.plot))


def read_card(root: Path) -> Card | None:
    """Return the card in `root`; None if there is none."""
    path = root / CARD
    return parse_card(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None


def write_rendered(root: Path, made: Rendered) -> None:
    """Write a card and its plot; a plot that is no longer shown is removed."""
    if made.plot is None:
        (root / PLOT).unlink(missing_ok=True)
    else:
        with whole_file(root / PLOT) as temporary:
            temporary.write_bytes(made.plot)
    write_text(root / CARD, made.card.text())


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one process at a time write the card of `root`, so that each sees the datasets of the others."""
    import fcntl

    try:
        handle = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise DistilledError(f"{root} is not a distilled dataset of ncfm-hub: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of the folder itself: a lock file would stay in it
        yield
    finally:
        os.close(handle)


def _title(sets: Sequence[CardSet]) -> str:
    by = "a third party" if all("imported" in one.pipeline for one in sets) else "NCFM"
    counts = sorted({int(one.pipeline["ipc"]) for one in sets})
    images = counted(counts[-1], "image")
    if len(counts) > 1:
        images = f"{', '.join(f'{count:,}' for count in counts[:-1])} and {images}"
    return f"{sets[0].pipeline['name']} distilled by {by}, {images} per class"


def _licences(sets: Sequence[CardSet]) -> list[tuple[str, Any]]:
    """Return each source with what it states as its licence, if anything."""
    found = {one.pipeline["source"]["dataset"]: statements.licence(one.pipeline["source"]) for one in sets}
    return list(found.items())


def _repository_named(before: Card, header: Mapping[str, Any]) -> str | None:
    """Return the repository named in the card `before`, if it is of a dataset that `header` describes."""
    there = before.header.get("dataset_info")
    # `distill --append` copies the card of the smaller dataset, whose repository lacks the new images.
    if not isinstance(there, list) or all(info not in there for info in header["dataset_info"]):
        return None
    found = _REPOSITORY.search(before.block)
    return found[1] if found else None
