"""Groups that are halved where memory runs out."""

from collections.abc import Sequence

import pytest

from ncfm_hub.machine.groups import halving, in_groups
from tests.damage import Notes

FULL = "CUDA out of memory. Tried to allocate 20.00 MiB."


def holds(most: int, tried: list[int]) -> object:
    def work(group: Sequence[int]) -> int:
        tried.append(len(group))
        if len(group) > most:
            raise RuntimeError(FULL)
        return sum(group)

    return work


@pytest.mark.parametrize(
    ("most", "expected"),
    [(8, [8, 2]), (5, [8, 4, 4, 2]), (2, [8, 4, 2, 2, 2, 2, 2]), (1, [8, 4, 2, *[1] * 10])],
)
def test_groups_are_halved_until_they_fit(most: int, expected: list[int]) -> None:
    tried: list[int] = []
    notes = Notes()
    jobs = list(range(10))
    found = list(halving(in_groups(jobs, 8), holds(most, tried), notes))  # type: ignore[arg-type]
    assert [one for group, _ in found for one in group] == jobs
    assert all(sum(group) == result for group, result in found)
    assert tried == expected
    assert notes.said == ["out of memory with 8 networks at once: beginning again with fewer"] * (most < 8)


def test_an_odd_group_has_a_larger_half() -> None:
    found = [list(group) for group, _ in halving([range(7)], holds(4, []), Notes())]  # type: ignore[arg-type]
    assert found == [[0, 1, 2, 3], [4, 5, 6]]


def test_what_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        list(halving([[1, 2]], holds(0, []), Notes()))  # type: ignore[arg-type]


def test_what_several_cannot_do_each_does_alone() -> None:
    tried, notes = [], Notes()

    def work(group: Sequence[int]) -> int:
        tried.append(list(group))
        if len(group) > 1:
            raise NotImplementedError("no batching rule\nfor this")
        return group[0]

    found = [result for _, result in halving([[1, 2, 3], [4, 5]], work, notes)]
    assert found == [1, 2, 3, 4, 5]
    assert tried == [[1, 2, 3], [1], [2], [3], [4], [5]]
    assert notes.said == [
        "3 networks cannot be trained at once here (no batching rule for this); one after another instead"
    ]


def test_what_one_cannot_do_is_an_error() -> None:
    def fail(group: Sequence[int]) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        list(halving([[1, 2]], fail, Notes()))
