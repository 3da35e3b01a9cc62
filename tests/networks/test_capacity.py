"""How many networks go at once, by their measured memory and that of a GPU that is only said to be there."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks import capacity
from ncfm_hub.networks.capacity import Footprint, footprint, images_at_once, networks_at_once
from ncfm_hub.networks.convnet import ConvNet
from tests.damage import Notes

GPU: Any = SimpleNamespace(device=torch.device("cuda"))
IMAGE = (3, 32, 32)


def free(monkeypatch: pytest.MonkeyPatch, amount: int) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (amount, 2 * amount))


def test_memory_of_a_network_is_what_its_backward_pass_needs() -> None:
    """Of two layers by hand: the image, what goes into the second one, and where ReLU was positive (its output)."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 100), nn.ReLU(), nn.Linear(100, 10))
    weights = 3072 * 100 + 100 + 100 * 10 + 10
    assert footprint(network, IMAGE) == Footprint(state=4 * 4 * weights, kept=4 * (3072 + 100), largest=3072)


def test_measuring_leaves_the_network_as_it_is() -> None:
    network = ConvNet(5, 3, 32, width=8, norm="batch").eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = footprint(network, IMAGE)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.training
    assert found.largest == 8 * 32 * 32
    assert 4 * 8 * 32 * 32 * 3 <= found.kept <= 4 * 8 * 32 * 32 * 6  # three maps of 32 px and the smaller ones


def test_as_many_go_at_once_as_free_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    network, notes = ConvNet(5), Notes()
    one = footprint(network, IMAGE)
    of_one = one.state + 128 * one.kept
    for room in (1, 7, 40):
        free(monkeypatch, 2 * (room * of_one + of_one // 2))
        assert networks_at_once(network, IMAGE, 128, 50, GPU, notes) == room
    assert networks_at_once(network, IMAGE, 128, 12, GPU, notes) == 12
    free(monkeypatch, of_one // 2)  # one is tried however little there is
    assert networks_at_once(network, IMAGE, 128, 50, GPU, notes) == 1
    free(monkeypatch, 10**15)
    assert networks_at_once(network, IMAGE, 128, 10**6, GPU, notes) == (2**31 - 1) // (128 * 128 * 32 * 32)
    assert notes.said == []


def test_batch_norm_goes_at_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 10**12)
    assert networks_at_once(ConvNet(5, norm="batch"), IMAGE, 128, 20, GPU, Notes()) == 20


def test_what_cannot_go_at_once_goes_alone_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 10**12)
    monkeypatch.setattr(capacity, "can_be_stacked", lambda *_: False)
    notes = Notes()
    assert networks_at_once(ConvNet(5), IMAGE, 128, 20, GPU, notes) == 1
    assert notes.said == ["networks of this architecture cannot be trained at once; one is trained after another"]


def test_on_a_cpu_one_goes_after_another(engine: Engine) -> None:
    assert networks_at_once(ConvNet(5), IMAGE, 128, 20, engine, Notes()) == 1


@pytest.mark.parametrize(
    ("free", "images", "at_once"),
    [
        (10**9, 100, 100),
        (2 * 64 * 10**6, 100, 50),  # room for 64: two passes of the same size
        (2 * 33 * 10**6, 100, 25),
        (1, 100, 1),
        (10**12, 10**6, 2000),  # no tensor of more values than kernels can number
    ],
)
def test_passes_are_as_large_as_memory_holds(
    free: int, images: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncfm_hub.networks.capacity.free_memory", lambda device: free)
    one = Footprint(state=0, kept=10**6, largest=2**31 // 2000)
    assert images_at_once(one, images, torch.device("cuda")) == at_once
