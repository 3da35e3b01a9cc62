"""Random class orders, and a dataset restricted to the classes seen so far."""

from itertools import pairwise

import pytest
import torch

from ncfm_hub.errors import DistilledError
from ncfm_hub.evaluation.batches import TrainingSet, one_hot
from ncfm_hub.evaluation.continual.seen_classes import class_orders, classes_after, images_of_seen, training_of_seen
from ncfm_hub.sources.types import ImageSet

LABELS = torch.tensor([3, 0, 2, 1, 4, 0, 3, 2, 2, 1, 4, 3])
IMAGES = torch.arange(len(LABELS), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)  # each its own number
SEEN = (4, 1, 3)


def soft_targets() -> torch.Tensor:
    soft = torch.rand(len(LABELS), 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (soft / soft.sum(1, keepdim=True)).float()


def test_orders_are_permutations_and_follow_from_the_seed() -> None:
    orders = class_orders(10, 6, seed=3)
    assert all(sorted(order.classes) == list(range(10)) for order in orders)
    assert len({order.classes for order in orders}) == 6
    assert len({order.seed for order in orders}) == 6
    assert class_orders(10, 6, seed=3) == orders
    assert class_orders(10, 2, seed=3) == orders[:2]
    assert not {order.classes for order in class_orders(10, 6, seed=4)} & {order.classes for order in orders}


@pytest.mark.parametrize(
    ("classes", "steps", "expected"),
    [
        (10, 5, [2, 4, 6, 8, 10]),
        (10, 3, [4, 7, 10]),
        (7, 7, [1, 2, 3, 4, 5, 6, 7]),
        (5, 1, [5]),
        (11, 4, [3, 6, 9, 11]),
    ],
)
def test_every_class_comes_once(classes: int, steps: int, expected: list[int]) -> None:
    sizes = classes_after(classes, steps)
    assert sizes == expected
    (order,) = class_orders(classes, 1, seed=0)
    arrivals = [order.classes[before:after] for before, after in pairwise([0, *sizes])]
    assert sorted(c for arrived in arrivals for c in arrived) == list(range(classes))


@pytest.mark.parametrize("steps", [0, 6])
def test_steps_without_a_class_are_refused(steps: int) -> None:
    with pytest.raises(DistilledError, match=f"5 classes cannot come in {steps} steps; give 1 to 5 by --steps"):
        classes_after(5, steps)


def test_the_test_part_holds_exactly_the_seen_classes_under_new_labels() -> None:
    found = images_of_seen(ImageSet(IMAGES, LABELS), SEEN)
    expected = [(number, SEEN.index(label)) for number, label in enumerate(LABELS.tolist()) if label in SEEN]
    assert list(zip(found.images[:, 0, 0, 0].tolist(), found.labels.tolist(), strict=True)) == expected
    assert {SEEN[label] for label in found.labels.tolist()} == set(SEEN)


def test_hard_labels_stay_hard() -> None:
    found = training_of_seen(TrainingSet(IMAGES, LABELS, one_hot(LABELS, 5)), SEEN)
    assert torch.equal(found.targets, one_hot(found.labels, 3))
    assert [SEEN[label] for label in found.labels.tolist()] == [c for c in LABELS.tolist() if c in SEEN]
    assert found.images[:, 0, 0, 0].tolist() == [row for row, c in enumerate(LABELS.tolist()) if c in SEEN]


def test_soft_labels_are_restricted_to_the_seen_classes_and_sum_to_one() -> None:
    soft = soft_targets()
    found = training_of_seen(TrainingSet(IMAGES, LABELS, soft), SEEN)
    rows = [row for row, c in enumerate(LABELS.tolist()) if c in SEEN]
    expected = []
    for row in rows:
        kept = [float(soft[row, c]) for c in SEEN]
        expected.append([value / sum(kept) for value in kept])
    torch.testing.assert_close(found.targets, torch.tensor(expected), atol=1e-6, rtol=0)
    assert found.targets.dtype == torch.float32


def test_soft_labels_that_give_no_seen_class_anything_become_the_label_alone() -> None:
    soft = soft_targets()
    soft[0] = torch.tensor([0.5, 0, 0.5, 0, 0])  # of class 3, and the teacher is sure that it is not
    soft[3] = torch.tensor([1 - 1e-30, 1e-30, 0, 0, 0])  # next to nothing is something
    found = training_of_seen(TrainingSet(IMAGES, LABELS, soft), SEEN)
    assert found.targets[0].tolist() == [0, 0, 1]
    assert found.targets[1].tolist() == [0, 1, 0]
    torch.testing.assert_close(found.targets.sum(1), torch.ones(len(found.targets)))


def test_all_classes_in_their_own_order_change_nothing() -> None:
    soft = soft_targets()
    found = training_of_seen(TrainingSet(IMAGES, LABELS, soft), range(5))
    assert torch.equal(found.labels, LABELS)
    assert torch.equal(found.images, IMAGES)
    torch.testing.assert_close(found.targets, soft, atol=1e-7, rtol=0)
