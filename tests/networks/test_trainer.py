"""The loop that pool members and students share."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ncfm_hub.networks.trainer import Trainer, fill_up, learning_rate_schedule, make_optimizer
from tests.matching.tiny import plain_engine


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


def test_an_update_is_one_step_of_the_optimiser_on_soft_cross_entropy() -> None:
    x = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    targets = torch.rand(5, 3, generator=torch.Generator().manual_seed(2))
    targets = targets / targets.sum(1, keepdim=True)
    trained, plain = Trainer(network(), plain_engine()), network()
    optimizer = make_optimizer(trained.network, "sgd", lr=99.0, weight_decay=0.1, momentum=0.9)
    rates = {3: 0.5, 4: 0.25}
    trained.fit([(x, targets)] * 2, optimizer, rates.__getitem__, first_update=3)

    velocity = [torch.zeros_like(p) for p in plain.parameters()]
    for rate in (0.5, 0.25):
        loss = -(targets * torch.log_softmax(plain(x), 1)).sum(1).mean()
        gradients = torch.autograd.grad(loss, list(plain.parameters()))
        with torch.no_grad():
            for p, v, g in zip(plain.parameters(), velocity, gradients, strict=True):
                v.mul_(0.9).add_(g + 0.1 * p)
                p -= rate * v
    for mine, expected in zip(trained.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, expected)


def test_every_batch_is_one_update() -> None:
    trainer, calls = Trainer(network(), plain_engine()), []
    batch = (torch.rand(2, 3, 2, 2), F.one_hot(torch.tensor([0, 1]), 3).float())
    optimizer = make_optimizer(trainer.network, "adamw", lr=1e-3, weight_decay=0.0)
    trainer.fit([batch] * 7, optimizer, lambda update: 1e-3, on_update=lambda: calls.append(1))
    assert len(calls) == 7


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_accuracy_counts_every_image_once(at_once: int) -> None:
    trainer = Trainer(network(), plain_engine())
    images = torch.randn(10, 3, 2, 2)
    with torch.no_grad():
        expected = trainer.network(2 * images)
    labels = expected.argmax(1)
    labels[:3] = (labels[:3] + 1) % 3
    torch.testing.assert_close(trainer.logits(images, lambda x: 2 * x, at_once), expected)
    assert trainer.accuracy(images, labels, lambda x: 2 * x, at_once) == pytest.approx(70.0)


def test_a_network_that_is_not_compiled_sees_no_row_twice() -> None:
    trainer, seen = Trainer(network(), plain_engine()), []
    trainer.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    trainer.logits(torch.randn(10, 3, 2, 2), lambda x: x, at_once=4)
    assert seen == [4, 4, 2]


def test_filling_up_repeats_the_last_row() -> None:
    assert fill_up(torch.tensor([[1], [2]]), 4).flatten().tolist() == [1, 2, 2, 2]
    assert fill_up(torch.tensor([[1], [2]]), 2).flatten().tolist() == [1, 2]


def test_one_cycle_rises_for_a_quarter_and_falls_without_wasting_the_last_update() -> None:
    rate = learning_rate_schedule("one-cycle", 0.4, 100)
    rates = [rate(update) for update in range(100)]
    assert rates[24] == max(rates) == pytest.approx(0.4)
    assert rates[:25] == pytest.approx([0.4 * (number + 1) / 25 for number in range(25)])
    assert rates[25:] == pytest.approx([0.2 * (1 + math.cos(math.pi * number / 75)) for number in range(75)])
    assert all(value > 0 for value in rates)
    assert learning_rate_schedule("one-cycle", 0.4, 1)(0) > 0


def test_steps_and_fifths() -> None:
    rate = learning_rate_schedule("steps", 1.0, 60)
    assert [rate(number) for number in (0, 39, 40, 49, 50, 59)] == pytest.approx([1, 1, 0.2, 0.2, 0.04, 0.04])
    rate = learning_rate_schedule("fifths", 1.0, 2000)
    marks = (0, 399, 400, 799, 800, 1200, 1600, 1999)
    assert [rate(number) for number in marks] == [1, 1, 0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="'rmsprop'"):
        make_optimizer(network(), "rmsprop", lr=0.1, weight_decay=0.0)
    with pytest.raises(KeyError):
        learning_rate_schedule("triangle", 0.1, 10)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_one_kernel_updates_all_parameters_on_a_gpu(name: str, on_gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    for kind in ("SGD", "AdamW"):
        monkeypatch.setattr(torch.optim, kind, lambda parameters, **options: given.append(options["fused"]))
    held: Any = SimpleNamespace(parameters=lambda: [SimpleNamespace(is_cuda=on_gpu)] * 2)
    make_optimizer(held, name, lr=0.1, weight_decay=0.0)
    assert given == [True if on_gpu else None]


def test_updates_and_tests_are_within_the_engine_s_context() -> None:
    """That of TF32 on a GPU; batches are made outside, as their places in the image would be rounded too."""
    within: list[bool] = []
    seen: list[tuple[str, bool]] = []

    @contextmanager
    def at_work() -> Iterator[None]:
        within.append(True)
        yield
        within.pop()

    class Seeing(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(("network", bool(within)))
            return super().forward(x)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for _ in range(2):
            seen.append(("batch", bool(within)))
            yield torch.rand(2, 3, 2, 2), torch.ones(2, 3)

    plain = plain_engine()
    engine: Any = SimpleNamespace(
        device=plain.device, native=False, compile=plain.compile, autocast=plain.autocast, at_work=at_work
    )
    trainer = Trainer(nn.Sequential(nn.Flatten(), Seeing(12, 3)), engine)
    trainer.fit(batches(), make_optimizer(trainer.network, "sgd", lr=0.1, weight_decay=0), lambda update: 0.1)
    trainer.logits(torch.rand(4, 3, 2, 2), lambda x: x, 4)
    assert seen == [("batch", False), ("network", True)] * 2 + [("network", True)]
