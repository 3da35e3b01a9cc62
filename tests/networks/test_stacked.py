"""Networks trained at once give the results of training alone."""

from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F

from ncfm_hub.evaluation.batches import TrainingSet, one_hot
from ncfm_hub.evaluation.protocol import Row, measure
from ncfm_hub.evaluation.students import StudentPlan, Students
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture, channel_statistics
from ncfm_hub.networks.convnet import ConvNet
from ncfm_hub.networks.stacked import TogetherTrainer, networks_at_once
from ncfm_hub.networks.trainer import Batch, Trainer, make_optimizer
from tests.matching.tiny import tiny_source


def batches(network: int, updates: int) -> list[Batch]:
    draws = torch.Generator().manual_seed(network)
    return [
        (torch.randn(6, 3, 16, 16, generator=draws), F.one_hot(torch.randint(5, (6,), generator=draws), 5).float())
        for _ in range(updates)
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_each_network_goes_its_own_way(engine: Engine, optimizer: str) -> None:
    def rate(update: int) -> float:
        return 0.01 / (1 + update)

    starts = []
    for seed in range(3):
        torch.manual_seed(seed)
        starts.append({name: value.clone() for name, value in ConvNet(5, 3, 16, width=8).state_dict().items()})
    together = TogetherTrainer(ConvNet(5, 3, 16, width=8), engine)
    counted: list[int] = []
    held = together.load(starts)
    several = [
        (torch.stack([x for x, _ in each]), torch.stack([y for _, y in each]))
        for each in zip(*(batches(number, 5) for number in range(3)), strict=True)
    ]
    descent = make_optimizer(held, optimizer, lr=0.01, weight_decay=0.1)
    together.fit(several[:2], descent, rate)
    together.fit(several[2:], descent, rate, first_update=2, on_update=lambda: counted.append(1))
    found = together.weights()
    assert len(counted) == 3
    for number, (start, mine) in enumerate(zip(starts, found, strict=True)):
        network = ConvNet(5, 3, 16, width=8)
        network.load_state_dict(start)
        alone = Trainer(network, engine)
        alone.fit(batches(number, 5), make_optimizer(network, optimizer, lr=0.01, weight_decay=0.1), rate)
        for name, expected in network.state_dict().items():
            if name.endswith("0.bias") or name.endswith("4.bias") or name.endswith("8.bias"):
                continue  # the norm takes it away: its gradient is rounding, which AdamW makes into whole steps
            assert not torch.equal(expected, start[name])
            torch.testing.assert_close(mine[name], expected, rtol=1e-3, atol=1e-5)


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


def test_how_many_go_at_once_follows_device_network_and_pixels(engine: Engine) -> None:
    on_gpu: Any = SimpleNamespace(device=torch.device("cuda"))
    found = [networks_at_once(ConvNet(5), 128, resolution, on_gpu) for resolution in (16, 32, 64, 128)]
    assert found == [10, 10, 4, 1]
    assert networks_at_once(ConvNet(5), 512, 32, on_gpu) == 4
    assert networks_at_once(timm.create_model("resnet18", num_classes=5), 128, 32, on_gpu) == 1
    assert networks_at_once(ConvNet(5), 128, 32, engine) == 1


def test_networks_with_buffers_are_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="one after another"):
        TogetherTrainer(timm.create_model("resnet18", num_classes=5), engine)
