"""Where tensors lie, and rows that are fetched a call ahead."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from ncfm_hub.machine.peaks import Peaks
from ncfm_hub.machine.placement import Fetched, describe_placement, fits
from tests.machine.test_engine import Notes
from tests.matching.tiny import plain_engine

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_tensor_lies_on_a_gpu_if_it_leaves_most_of_the_memory_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4000, 10_000))
    for sizes, expected in (([1000], True), ([1001], False), ([600, 400], True), ([600, 401], False)):
        assert fits([torch.zeros(size, dtype=torch.uint8) for size in sizes], GPU) == expected
    assert fits([torch.zeros(10_001, dtype=torch.uint8)], CPU)


class OnAGpu(Fetched):
    """Fetches ahead as for a GPU, and keeps what it fetched on the CPU."""

    def __init__(self, *given: Any):
        super().__init__(given[0], given[1], GPU, given[2])
        self._device = CPU


@pytest.mark.parametrize("pins", ["pinned", "refused"])
def test_rows_are_those_of_the_call_in_any_order(pins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def pin(tensor: torch.Tensor) -> torch.Tensor:
        if pins == "refused":
            raise RuntimeError("cannot pin")
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    images, chosen, notes = torch.arange(50).float(), list[int](), Notes()

    def choose(number: int) -> torch.Tensor:
        chosen.append(number)
        return torch.tensor([number, number + 10])

    fetched = OnAGpu(images, choose, notes)
    for number in (0, 1, 2, 7, 8, 3):
        assert fetched.rows(number).tolist() == [number, number + 10]
    fetched._thread.shutdown()  # type: ignore[union-attr]
    assert sorted(chosen) == [0, 1, 2, 3, 3, 4, 7, 8, 9]  # 3 in vain after 2
    assert notes.said == (["no pinned memory here (cannot pin); images are copied more slowly"] * (pins == "refused"))


def test_a_failure_to_read_ahead_is_one_of_the_call_it_was_for() -> None:
    fetched = OnAGpu(torch.arange(5), lambda number: torch.tensor([number]), Notes())
    assert fetched.rows(4).tolist() == [4]
    with pytest.raises(IndexError):
        fetched.rows(5)


def test_on_a_cpu_nothing_is_fetched_ahead() -> None:
    chosen: list[int] = []

    def choose(number: int) -> torch.Tensor:
        chosen.append(number)
        return torch.tensor([number])

    assert Fetched(torch.arange(5), choose, CPU, Notes()).rows(2).tolist() == [2]
    assert chosen == [2]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (None, "20.0 of 24.0 GB free"),
        (5 * 10**9, "20.0 of 24.0 GB free; source images (5.00 GB) on it"),
        (6 * 10**9, "20.0 of 24.0 GB free; source images (6.00 GB) in the main memory, being over 1/4 of that"),
    ],
)
def test_a_plan_says_where_the_images_lie(images: int | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (20 * 10**9, 24 * 10**9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card")
    engine = replace(plain_engine(), chosen=GPU)
    assert describe_placement(images, engine) == f"cuda (Card, fp32), {words}"
    assert describe_placement(images, plain_engine()).startswith("cpu (")


def test_peaks_are_those_of_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [0]
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: taken.__setitem__(0, 1))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: taken[0])
    peaks = Peaks(GPU)
    with peaks.measure("pool"):
        taken[0] = 700
    with pytest.raises(ZeroDivisionError), peaks.measure("distill"):
        taken[0] = 300 // 0
    assert peaks.bytes == {"pool": 700, "distill": 1}
    none = Peaks(CPU)
    with none.measure("pool"):
        pass
    assert none.bytes == {}
