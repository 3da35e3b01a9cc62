"""The validation split: stratified, bounded, sampled by the seed alone."""

import dataclasses

import pytest
import torch

from ncfm_hub.sources import ImageSet, Source, SourceInfo, cut_validation, planned_validation, too_small_notes


def source(counts: list[int]) -> Source:
    """A source whose image number n holds n, 1 x 2 x 2, classes interleaved."""
    labels = torch.cat([torch.full((count,), c) for c, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    images = torch.arange(len(labels)).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).to(torch.int32)
    names = tuple(f"class {c}" for c in range(len(counts)))
    info = SourceInfo(
        "d",
        True,
        None,
        None,
        "image",
        "label",
        "train",
        "test",
        names,
        tuple(range(len(counts))),
        2,
        1,
        None,
        None,
        1,
        1,
    )
    return Source(info, ImageSet(images, labels), ImageSet(images[:0], labels[:0]), "f" * 64)


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        ([100, 100, 100], [10, 10, 10]),
        ([105, 95, 100], [11, 9, 10]),  # 10.5, 9.5, 10: the larger remainder first, ties by class
        ([1, 2, 97], [0, 1, 10]),  # 0.1, 0.2, 9.7
        ([40_000, 20_000], [3333, 1667]),  # at most 5,000
    ],
)
def test_shares(counts: list[int], shares: list[int]) -> None:
    whole = source(counts)
    cut = cut_validation(whole)
    assert torch.bincount(cut.test.labels, minlength=len(counts)).tolist() == shares
    assert len(cut.train.labels) + len(cut.test.labels) == sum(counts)
    numbers = torch.cat([cut.train.images, cut.test.images])[:, 0, 0, 0]
    assert numbers.sort().values.tolist() == list(range(sum(counts)))  # nothing lost, nothing on both sides
    for part in (cut.train, cut.test):
        order = part.images[:, 0, 0, 0]
        assert (order[1:] > order[:-1]).all()
        assert (whole.train.labels[order.long()] == part.labels).all()


def test_drawn_by_the_seed() -> None:
    whole = source([50, 50])
    once, again, other = cut_validation(whole), cut_validation(whole), cut_validation(whole, seed=1)
    assert (once.test.images == again.test.images).all()
    assert (once.test.images != other.test.images).any()
    assert len({whole.fingerprint, once.fingerprint, other.fingerprint}) == 3
    assert once.fingerprint == again.fingerprint == once.info.fingerprint
    assert once.info.test_split == "validation part of train"
    assert (once.info.train_examples, once.info.test_examples) == (90, 10)
    assert dataclasses.replace(once.info, **vars_of(whole)) == whole.info


def vars_of(whole: Source) -> dict[str, object]:
    names = ("test_split", "train_examples", "test_examples", "fingerprint")
    return {name: getattr(whole.info, name) for name in names}


def test_small_classes_are_named() -> None:
    assert too_small_notes(source([5, 3, 4]), 4) == [
        "class 'class 1' has 3 training images, fewer than the 4 needed: sampled with replacement"
    ]


def test_many_small_classes_are_one_note() -> None:
    assert too_small_notes(source([5, 3, 4, 4, 2, 4, 4]), 5) == [
        "6 classes ('class 1', 'class 2', 'class 3', 'class 4', 'class 5', ...) have fewer training images "
        "than the 5 needed, the smallest 2: sampled with replacement"
    ]


@pytest.mark.parametrize("counts", [[100, 50], [40_000, 20_000]])
def test_a_plan_knows_the_part_before_the_source_is_read(counts: list[int]) -> None:
    whole = source(counts)
    info = dataclasses.replace(whole.info, train_examples=sum(counts))
    assert planned_validation(info) == cut_validation(dataclasses.replace(whole, info=info)).info
    assert planned_validation(dataclasses.replace(info, train_examples=None)).test_examples is None
