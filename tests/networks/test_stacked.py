"""Networks trained at once give the results of training alone."""

from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from ncfm_hub.evaluation.batches import TrainingSet, one_hot
from ncfm_hub.evaluation.protocol import Row, measure
from ncfm_hub.evaluation.students import StudentPlan, Students
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture, channel_statistics
from ncfm_hub.networks.convnet import ConvNet
from ncfm_hub.networks.stacked import TogetherTrainer, can_be_stacked
from ncfm_hub.networks.trainer import Batch, Trainer, make_optimizer
from tests.matching.tiny import tiny_source


def batches(network: int, updates: int, dtype: torch.dtype) -> list[Batch]:
    draws = torch.Generator().manual_seed(network)

    def batch() -> Batch:
        x = torch.randn(6, 3, 16, 16, generator=draws).to(dtype)
        return x, F.one_hot(torch.randint(5, (6,), generator=draws), 5).float()

    return [batch() for _ in range(updates)]


def convnet(norm: str = "instance") -> nn.Module:
    return ConvNet(5, 3, 16, width=8, norm=norm)


MAKE: dict[str, Callable[[], nn.Module]] = {
    "instance norm": convnet,
    "batch norm": partial(convnet, "batch"),
    "resnet10t": partial(timm.create_model, "resnet10t", num_classes=5),
}


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        *(("instance norm", optimizer) for optimizer in ("sgd", "adamw")),
        *(("batch norm", optimizer) for optimizer in ("sgd", "adamw")),
        *(pytest.param("resnet10t", optimizer, marks=pytest.mark.slow) for optimizer in ("sgd", "adamw")),
    ],
)
def test_each_network_goes_its_own_way(engine: Engine, name: str, optimizer: str) -> None:
    """With batch norm in float64: over six images of 1 px it makes rounding in float32 grow from layer to layer."""
    dtype = torch.float32 if name == "instance norm" else torch.float64
    count, updates = (2, 3) if name == "resnet10t" else (3, 5)

    def make() -> nn.Module:
        return MAKE[name]().to(dtype)

    def rate(update: int) -> float:
        return 0.01 / (1 + update)

    starts, answers = [], []
    for seed in range(count):
        torch.manual_seed(seed)
        starts.append({key: value.clone() for key, value in make().state_dict().items()})
    together = TogetherTrainer(make(), engine)
    counted: list[int] = []
    held = together.load(starts)
    several = [
        (torch.stack([x for x, _ in each]), torch.stack([y for _, y in each]))
        for each in zip(*(batches(number, updates, dtype) for number in range(count)), strict=True)
    ]
    descent = make_optimizer(held, optimizer, lr=0.01, weight_decay=0.1)
    together.fit(several[:2], descent, rate)
    together.fit(several[2:], descent, rate, first_update=2, on_update=lambda: counted.append(1))
    found = together.weights()
    assert len(counted) == updates - 2
    tested = torch.cat([x for x, _ in batches(9, 2, dtype)])
    answers = torch.cat(list(together.logits(x.expand(count, *x.shape) for x in tested.split(6))), 1)
    assert answers.shape == (count, 12, 5)
    for number, (start, mine) in enumerate(zip(starts, found, strict=True)):
        network = make()
        network.load_state_dict(start)
        alone = Trainer(network, engine)
        alone.fit(batches(number, updates, dtype), make_optimizer(network, optimizer, lr=0.01, weight_decay=0.1), rate)
        assert mine.keys() == network.state_dict().keys()
        for key, expected in network.state_dict().items():
            if key.endswith(("0.bias", "4.bias", "8.bias")):
                continue  # the norm takes it away: its gradient is rounding, which AdamW makes into whole steps
            assert not torch.equal(expected, start[key])
            torch.testing.assert_close(mine[key], expected, rtol=1e-3, atol=1e-5)
        network.load_state_dict(mine)
        torch.testing.assert_close(answers[number], alone.logits(tested, lambda x: x, 6), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_students_at_once_are_the_students_one_after_another(engine: Engine) -> None:
    """Different sets and seeds at once, in a last group that is not full, give each student's own accuracy."""
    source = tiny_source(per_class=10)
    architecture = Architecture("ncfm_convnet3", 3, 3, 16, *channel_statistics(source.train.images))
    plan = StudentPlan(updates=8, batch_size=8, lr=2e-3, weight_decay=5e-4, schedule="one-cycle", cutmix=0.5, flip=True)
    rows = [
        Row(name, "hard", TrainingSet(images, labels, one_hot(labels, 3)), 9)
        for name, images, labels in (
            ("one", source.train.images[:12], source.train.labels[:12]),
            ("two", source.train.images[12:], source.train.labels[12:]),
        )
    ]
    alone, at_once = (
        measure(rows, source.test, Students(architecture, plan, engine, at_once=count), range(2), engine)
        for count in (1, 3)
    )
    for one, other in zip(alone, at_once, strict=True):
        assert one["accuracy"]["values"] == other["accuracy"]["values"]
        assert one["train_accuracy"]["values"] == other["train_accuracy"]["values"]


class Pair(nn.Module):
    """Two linear layers, with whatever is between them."""

    def __init__(self, between: nn.Module, shared: bool = False):
        super().__init__()
        self.first, self.between, self.last = nn.Linear(48, 48), between, nn.Linear(48, 48)
        if shared:
            self.last.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.last(self.between(self.first(x.flatten(1))))
        return answer


class Choosing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x if x.mean() > 0 else x


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (timm.create_model("ncfm_resnet18_bn", num_classes=5), True),
        (Pair(nn.Dropout(0.5)), True),
        (Pair(nn.BatchNorm1d(48)), True),
        (Pair(nn.BatchNorm1d(48, momentum=None)), False),
        (Pair(Choosing()), False),
        (Pair(nn.ReLU(), shared=True), False),
    ],
    ids=["resnet18", "dropout", "batch norm", "momentum by number", "choice by value", "shared weights"],
)
def test_which_networks_can_be_trained_at_once_is_found_out(network: nn.Module, expected: bool) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.random.get_rng_state()
    assert can_be_stacked(network, (3, 4, 4)) == expected
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_dropout_is_each_network_s_own(engine: Engine) -> None:
    network = Pair(nn.Dropout(0.5))
    start = {name: value.clone() for name, value in network.state_dict().items()}
    together = TogetherTrainer(network, engine)
    held = together.load([start, start])
    batch = (torch.ones(2, 4, 3, 4, 4), torch.full((2, 4, 48), 1 / 48))
    together.fit([batch], make_optimizer(held, "sgd", lr=1.0, weight_decay=0), lambda update: 1.0)
    one, other = together.weights()
    assert not torch.equal(one["last.weight"], other["last.weight"])
    first, second = together.logits([torch.ones(2, 4, 3, 4, 4)] * 2)
    assert torch.equal(first, second)  # none in tests


def test_one_that_diverged_is_found_among_others(engine: Engine) -> None:
    together = TogetherTrainer(ConvNet(5, 3, 16, width=8), engine)
    sound, broken = (ConvNet(5, 3, 16, width=8).state_dict() for _ in range(2))
    broken["head.bias"][2] = torch.inf
    together.load([sound, broken, sound])
    assert together.finite() == [True, False, True]
