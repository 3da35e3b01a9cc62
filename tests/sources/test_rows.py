"""Rows by class, in one pass, equal those found by one comparison per class."""

from dataclasses import replace

import pytest
import torch

from ncfm_hub.distillation.start import make_start
from ncfm_hub.sources import Source
from ncfm_hub.sources import rows as rows_module
from ncfm_hub.sources.rows import rows_by_class, rows_of_classes
from ncfm_hub.sources.types import ImageSet
from tests.matching.tiny import tiny_source

LABELS = torch.randint(0, 7, (500,), generator=torch.Generator().manual_seed(3))


def many_classes(classes: int, per_class: int) -> Source:
    labels = torch.arange(classes).repeat(per_class)
    images = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
    names = tuple(f"class {c}" for c in range(classes))
    info = replace(tiny_source().info, class_names=names, class_ids=tuple(range(classes)), channels=1, resolution=4)
    return Source(info, ImageSet(images, labels), ImageSet(images[:1], labels[:1]), "many")


def test_rows_of_a_class_are_all_of_them_in_order() -> None:
    found = rows_by_class(LABELS, 9)  # the last two have none
    assert [rows.tolist() for rows in found] == [[n for n, c in enumerate(LABELS.tolist()) if c == k] for k in range(9)]
    assert all(rows.dtype == torch.int64 for rows in found)
    assert [rows.tolist() for rows in rows_by_class(torch.tensor([0, 5, 1]), 2)] == [[0], [2]]


def test_rows_of_some_classes_and_their_places() -> None:
    chosen = [5, 0, 8, 3]
    rows, places = rows_of_classes(LABELS, chosen)
    labels = LABELS.tolist()
    assert rows.tolist() == [n for n, c in enumerate(labels) if c in chosen]
    assert places.tolist() == [chosen.index(c) for c in labels if c in chosen]
    assert [part.tolist() for part in rows_of_classes(LABELS[:0], chosen)] == [[], []]


def test_a_source_s_labels_are_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once per class and class: a thousand classes took an hour."""
    passes: list[int] = []

    def count(labels: torch.Tensor, classes: int) -> list[torch.Tensor]:
        passes.append(len(labels))
        return rows_by_class(labels, classes)

    monkeypatch.setattr(rows_module, "rows_by_class", count)
    source = many_classes(1000, 20)
    make_start(source, 1, 2, seed=0)
    make_start(source, 1, 2, seed=1)
    assert passes == [20_000]
    other = replace(source, train=ImageSet(source.train.images, source.train.labels.flip(0)))
    assert other.class_indices()[0].tolist() != source.class_indices()[0].tolist()
