"""The overview of a card: a row per distilled dataset, with random real images and the full training set beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncfm_hub.publishing.cards.card_set import CardSet

Figure = Mapping[str, Any]  # an accuracy of results.json: n, mean, std


@dataclass(frozen=True)
class OverviewRow:
    """A distilled dataset in the overview; accuracies in percent, None where not measured.

    labels: hard or soft, with which `distilled` was measured: those of the higher accuracy
    """

    name: str
    ipc: int
    images: int
    labels: str | None
    distilled: Figure | None
    random: Figure | None
    whole: Figure | None


@dataclass(frozen=True)
class Overview:
    """All rows, in order.

    spread: whether a standard deviation is known
    plotted: whether accuracies at two numbers of images per class can be compared
    alike: whether all were measured by the same protocol
    """

    rows: list[OverviewRow]
    spread: bool
    plotted: bool
    alike: bool

    @property
    def measured(self) -> bool:
        """Whether any accuracy was measured."""
        return any(row.distilled for row in self.rows)

    @property
    def random(self) -> bool:
        """Whether random real images were measured beside any."""
        return any(row.random for row in self.rows)

    @property
    def whole(self) -> bool:
        """Whether the full training set was measured beside any."""
        return any(row.whole for row in self.rows)


def overview_of(sets: Sequence[CardSet]) -> Overview:
    """Return the overview of distilled datasets. sets: in order"""
    rows = [_row(one) for one in sets]
    measured = {row.ipc for row in rows if row.distilled}
    protocols = [_protocol(one.results) for one in sets if one.results.get("rows")]
    spread = any(row.distilled["n"] > 1 for row in rows if row.distilled)
    return Overview(rows, spread, len(measured) > 1, all(protocol == protocols[0] for protocol in protocols))


def _row(one: CardSet) -> OverviewRow:
    rows = [row for row in one.results.get("rows", []) if row.get("accuracy")]
    best = _best(rows, "distilled", None)
    labels = best["labels"] if best else None

    def accuracy(row: Mapping[str, Any] | None) -> Figure | None:
        return row["accuracy"] if row else None

    return OverviewRow(
        name=one.name,
        ipc=int(one.pipeline["ipc"]),
        images=one.images,
        labels=labels,
        distilled=accuracy(best),
        random=accuracy(_best(rows, "random", labels)),
        whole=accuracy(_best(rows, "whole", labels)),
    )


def _best(rows: Sequence[Mapping[str, Any]], name: str, labels: str | None) -> Mapping[str, Any] | None:
    """Return the row of a training set with the highest mean, of those with `labels` if there are any."""
    of_it = [row for row in rows if row["set"] == name]
    alike = [row for row in of_it if row["labels"] == labels]
    return max(alike or of_it, key=lambda row: row["accuracy"]["mean"], default=None)


def _protocol(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must agree for rows to compare; the number of updates follows from the images per class."""
    protocol = results.get("protocol", {})
    return {key: protocol.get(key) for key in ("metric", "split", "test_images", "student")}
