"""What a pool member is trained on in an epoch, and what its blends are measured on."""

from functools import partial
from typing import Any

import pytest
import torch

from ncfm_hub.extractors import pretraining
from ncfm_hub.extractors.pretraining import TrainingPlan, initial_weights, measure_blends
from ncfm_hub.networks.build import Architecture, build_network, normaliser
from ncfm_hub.networks.trainer import Trainer
from tests.matching.tiny import plain_engine

ARCHITECTURE = Architecture("ncfm_convnet3", 2, 1, 16, (0.0,), (1 / 255,))
IMAGES = torch.arange(11, dtype=torch.uint8)[:, None, None, None].expand(11, 1, 16, 16).contiguous()
LABELS = torch.arange(11) % 2
PREPARE = partial(pretraining._prepared, normaliser(ARCHITECTURE, torch.device("cpu")), ARCHITECTURE.classes)


def plan(**changes: Any) -> TrainingPlan:
    values = {"epochs": 2, "batch_size": 4, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}
    return TrainingPlan(**(values | {"schedule": "steps", "seed": 0, "flip": True} | changes))


def epoch(values: TrainingPlan, member: int, number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    device = torch.device("cpu")
    several = pretraining._epoch(IMAGES, LABELS, PREPARE, values, [member], number, device)
    return [(x[0], targets[0]) for x, targets in several]


def order(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[int]:
    """Images carry their number in the middle, where no crop reaches."""
    return [int(value) for x, _ in batches for value in x[:, 0, 8, 8].round()]


def test_an_epoch_visits_images_once_in_whole_batches() -> None:
    batches = epoch(plan(), 0, 0)
    assert [len(x) for x, _ in batches] == [4, 4]
    assert plan().updates_per_epoch(11) == 2
    seen = order(batches)
    assert len(set(seen)) == 8
    for x, targets in batches:
        assert targets.argmax(1).tolist() == [number % 2 for number in order([(x, targets)])]
        assert targets.sum(1).tolist() == [1.0] * 4


def test_few_images_make_one_smaller_batch() -> None:
    batches = epoch(plan(batch_size=100), 0, 0)
    assert [len(x) for x, _ in batches] == [11]
    assert sorted(order(batches)) == list(range(11))


def test_member_epoch_and_seed_each_change_the_order() -> None:
    orders = [order(epoch(plan(seed=seed), member, number)) for seed, member, number in
              ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1))]  # fmt: skip
    assert len({tuple(one) for one in orders}) == 5
    assert order(epoch(plan(), 0, 1)) == orders[1]


def test_members_at_once_are_given_what_each_is_given_alone() -> None:
    together = list(pretraining._epoch(IMAGES, LABELS, PREPARE, plan(), [0, 3], 1, torch.device("cpu")))
    for place, member in enumerate((0, 3)):
        for (x, targets), (mine, my_targets) in zip(together, epoch(plan(), member, 1), strict=True):
            assert torch.equal(x[place], mine)
            assert torch.equal(targets[place], my_targets)


@pytest.mark.parametrize("flip", [False, True])
def test_images_are_cropped_and_mirrored_only_where_allowed(monkeypatch: pytest.MonkeyPatch, flip: bool) -> None:
    drawn: list[Any] = []
    augment = pretraining.augment

    def listen(x: torch.Tensor, draw: Any) -> torch.Tensor:
        drawn.append(draw)
        return augment(x, draw)

    monkeypatch.setattr(pretraining, "augment", listen)
    for number in range(5):
        epoch(plan(flip=flip), 0, number)
    affine = torch.cat([draw.affine for draw in drawn])
    assert all(draw.colour is None and draw.cutout is None for draw in drawn)
    assert (affine[:, :, 2] != 0).any()
    assert (affine[:, 0, 0] < 0).any() == flip


def test_initial_weights_are_the_member_s_whatever_was_drawn_before() -> None:
    first = initial_weights(ARCHITECTURE, 0, 0, None, True)
    torch.manual_seed(77)
    state = torch.random.get_rng_state()
    again = initial_weights(ARCHITECTURE, 0, 0, None, True)
    assert torch.equal(torch.random.get_rng_state(), state)
    name = "blocks.0.weight"
    assert torch.equal(first[0][name], again[0][name])
    assert torch.equal(first[0][name], first[1][name])
    for other in (initial_weights(ARCHITECTURE, 0, 1, None, True), initial_weights(ARCHITECTURE, 1, 0, None, True)):
        assert not torch.equal(first[0][name], other[0][name])


def test_blends_are_measured_at_the_five_betas() -> None:
    """`trained` always answers 1, `init` always 0: the head's bias decides, beta = 1/2 being a draw."""
    trained = build_network(ARCHITECTURE).state_dict()
    trained["head.weight"].zero_()
    trained["head.bias"] = torch.tensor([0.0, 1.0])
    init = {name: tensor.clone() for name, tensor in trained.items()}
    init["head.bias"] = torch.tensor([1.0, 0.0])
    trainer = Trainer(build_network(ARCHITECTURE), plain_engine())
    found = measure_blends(trainer, (init, trained), IMAGES, LABELS, lambda x: x.float())
    ones, zeros = round(500 / 11, 2), round(600 / 11, 2)
    assert (found["0.0"], found["0.25"], found["0.75"], found["1.0"]) == (ones, ones, zeros, zeros)
    assert list(found) == ["0.0", "0.25", "0.5", "0.75", "1.0"]
