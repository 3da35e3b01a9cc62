"""Class orders by a known name, and names that are written otherwise."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ncfm_hub.publishing.exchange.class_order import KNOWN, apply_order, file_labels


def info(*names: str, ids: tuple[int, ...] = ()) -> Any:
    return SimpleNamespace(class_names=names, class_ids=ids or tuple(range(len(names))))


def test_sorted_is_by_name():
    assert file_labels("sorted", info("tench", "church", "golf ball")) == [2, 0, 1]


def test_ids_are_the_order_of_the_whole_source():
    assert file_labels("ids", info("pineapple", "banana", "strawberry", ids=(953, 954, 949))) == [1, 2, 0]


def test_mtt_counts_the_breeds_of_imagewoof_in_its_own_order():
    by_wordnet_id = (
        *("Shih-Tzu", "Rhodesian ridgeback", "Beagle", "English foxhound", "Australian terrier", "Border terrier"),
        *("Golden retriever", "Old English sheepdog", "Samoyed", "Dingo"),
    )
    imagenet_labels = (155, 159, 162, 167, 193, 182, 207, 229, 258, 273)
    of_mtt = (193, 182, 258, 162, 155, 167, 159, 273, 207, 229)
    assert file_labels("mtt", info(*by_wordnet_id)) == [of_mtt.index(label) for label in imagenet_labels]
    assert set(KNOWN) == {"sorted", "ids", "mtt"}


def test_names_match_whatever_their_case_and_by_a_synonym(tmp_path):
    (tmp_path / "order").write_text("lemon\nsiamese\nlions_mane\n")
    assert file_labels(tmp_path / "order", info("Lions mane", "Siamese cat, Siamese", "Lemon")) == [2, 1, 0]


@pytest.mark.parametrize("labels", [torch.tensor([7, 3, 3]), torch.tensor([7.0, 3.0, 3.0])])
def test_numbers_become_those_of_the_source(labels):
    assert apply_order(labels, [3, 7]).tolist() == [1, 0, 0]
