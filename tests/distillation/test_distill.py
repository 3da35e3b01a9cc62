"""The loop: its random draws, and the updates of images and psi."""

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

import ncfm_hub.distillation.distiller as loop
import ncfm_hub.distillation.units as units
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.distillation.loop import distill_images, floor_of
from ncfm_hub.distillation.settings import choose_classes_at_once, settings_of
from ncfm_hub.distillation.start import make_start
from ncfm_hub.machine.engine import Engine
from ncfm_hub.matching.step import UnitDraw, UnitResult
from ncfm_hub.networks.build import Weights
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.seeding import generator
from tests import oracle
from tests.matching.tiny import STANDARD, tiny_pool, tiny_settings, tiny_source


@dataclass
class Record:
    """What went into and came out of the units of work."""

    labels: list[torch.Tensor] = field(default_factory=list)
    draws: list[UnitDraw] = field(default_factory=list)
    frequencies: list[torch.Tensor] = field(default_factory=list)
    blends: list[tuple[int, float]] = field(default_factory=list)  # (identity of the pair, beta), one a step
    pairs: list[tuple[Weights, Weights]] = field(default_factory=list)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    """Listens to the loop without changing what it does."""
    found, unit_step, blend = Record(), units.unit_step, loop.blend

    def listen(stored: Any, labels: Any, draw: UnitDraw, frequencies: Any, *rest: Any, **options: Any) -> UnitResult:
        found.labels.append(labels)
        found.draws.append(draw)
        found.frequencies.append(frequencies.detach().clone())
        return unit_step(stored, labels, draw, frequencies, *rest, **options)

    def listen_to_blend(member: tuple[Weights, Weights], beta: float) -> Weights:
        found.blends.append((id(member), beta))
        found.pairs.append(member)
        return blend(member, beta)

    monkeypatch.setattr(units, "unit_step", listen)
    monkeypatch.setattr(loop, "blend", listen_to_blend)
    return found


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch, record: Record) -> Record:
    """The loop without computation: units of work return zeros, so that only random draws happen."""

    def nothing(stored: torch.Tensor, labels: Any, draw: UnitDraw, frequencies: Any, *_: Any, **__: Any) -> UnitResult:
        record.labels.append(labels)
        record.draws.append(draw)
        record.frequencies.append(frequencies.detach().clone())
        none = torch.zeros(len(draw.sizes))
        return UnitResult(none, none, torch.zeros_like(stored), torch.zeros_like(frequencies))

    monkeypatch.setattr(units, "unit_step", nothing)
    return record


def away_from_start(distiller: Distiller) -> None:
    """Give psi's last layer weights, so that components differ and every layer has a gradient."""
    assert distiller.sampling is not None
    with torch.no_grad():
        weight = distiller.sampling.head.weight
        weight.copy_(0.1 * torch.randn(weight.shape, generator=generator(0, "away")))


def oracle_draws(draws: list[UnitDraw]) -> list[oracle.ClassDraw]:
    """Class by class, whatever the units were."""
    found = []
    for unit in draws:
        synthetic = len(unit.synthetic_augmentation.affine) // len(unit.sizes)
        first = 0
        for number, size in enumerate(unit.sizes):
            sides = [
                unit.real_augmentation[first : first + size],
                unit.synthetic_augmentation[number * synthetic : (number + 1) * synthetic],
            ]
            real, other = (oracle.SideDraw(side.affine, side.colour, side.cutout) for side in sides)
            found.append(oracle.ClassDraw(unit.real[first : first + size], real, other))
            first += size
    return found


# --- one step, whole ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "changes"),
    [
        (3, {}),
        (3, {"cutout": False}),
        (3, {"classes_at_once": 2}),
        (3, {"classes_at_once": 3, "ipc": 2}),
        (1, {"factor": 1, "ipc": 3}),
    ],
)
def test_a_step_of_all_units_is_the_oracle_s_and_psi_goes_against_its_gradient(
    engine: Engine, record: Record, channels: int, changes: dict[str, object]
) -> None:
    settings = tiny_settings(sampling_network=True, alpha=0.4, **changes)
    source = tiny_source(channels=channels)
    pool = tiny_pool(source)
    distiller = Distiller(source, pool, settings, engine)
    away_from_start(distiller)
    assert distiller.sampling is not None
    psi = copy.deepcopy(distiller.sampling).double()
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    draw = distiller.sampling.draw

    def listen(count: int, random: torch.Generator, orthogonal: bool) -> tuple[torch.Tensor, torch.Tensor]:
        kept.append(draw(count, random, orthogonal))
        return kept[-1]

    distiller.sampling.draw = listen  # type: ignore[method-assign]
    before = [part.double().requires_grad_() for part in distiller.stored.detach().clone().split(settings.ipc)]
    ncfd, entropy = distiller.step(0)

    noise, eps = (tensor.double() for tensor in kept[0])
    t = torch.cat([psi.scales(one[None]) * e for one, e in zip(noise, eps, strict=True)])
    torch.testing.assert_close(record.frequencies[0].double(), t.detach(), rtol=1e-5, atol=1e-6)
    member, beta = record.pairs[0], record.blends[0][1]
    hybrid = {name: beta * member[0][name].double() + (1 - beta) * member[1][name].double() for name in member[0]}
    distances, entropies, objective = oracle.step(
        before,
        oracle_draws(record.draws),
        t,
        hybrid,
        member[1],
        pool.architecture.mean,
        pool.architecture.std,
        alpha=0.4,
        calibration=settings.calibration,
        factor=settings.factor,
    )
    assert ncfd == pytest.approx(300 * torch.stack(distances).mean().item(), rel=1e-5)
    assert entropy == pytest.approx(torch.stack(entropies).mean().item(), rel=1e-5)
    gradients = torch.autograd.grad(objective, [*before, *psi.parameters()])
    assert distiller.stored.grad is not None
    expected = torch.cat(gradients[: len(before)])
    assert oracle.cosine(distiller.stored.grad, expected) >= 1 - 1e-6
    assert distiller.stored.grad.double().norm().item() == pytest.approx(expected.norm().item(), rel=1e-4)
    for (name, parameter), theirs in zip(distiller.sampling.named_parameters(), gradients[len(before) :], strict=True):
        assert parameter.grad is not None
        assert theirs.abs().max() > 0, name
        assert oracle.cosine(parameter.grad, -theirs) >= 1 - 1e-5, name
        assert parameter.grad.norm().item() == pytest.approx(theirs.norm().item(), rel=1e-3), name


def test_psi_s_gradient_is_not_zero_at_its_start(source: Source, engine: Engine) -> None:
    """The authors' code adds a gradient and its negative; here what psi does to the frequencies counts once."""
    distiller = Distiller(source, tiny_pool(source), tiny_settings(sampling_network=True), engine)
    assert distiller.sampling is not None
    before = copy.deepcopy(distiller.sampling.state_dict())
    distiller.step(0)
    assert distiller.sampling.head.bias.grad is not None
    assert distiller.sampling.head.bias.grad.abs().max() > 1e-4
    distiller.step(1)
    after = distiller.sampling.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_psi_ascends_while_images_stand_still(source: Source, engine: Engine) -> None:
    """Paired comparison: the same random draws with psi learning and with psi fixed."""

    def distances(sampling_lr: float) -> list[float]:
        settings = tiny_settings(
            sampling_network=True, sampling_lr=sampling_lr, lr=1e-20, steps=30, calibration=0.0, classes_at_once=3
        )
        distiller = Distiller(source, tiny_pool(source), settings, engine)
        return [distiller.step(number)[0] for number in range(30)]

    learning, resting = distances(3e-3), distances(1e-12)
    assert learning[0] == resting[0]
    gains = torch.tensor(learning[10:]) - torch.tensor(resting[10:])
    assert (gains > 0).all()
    assert gains[-5:].mean() > gains[:5].mean()


@pytest.mark.slow
def test_images_descend(source: Source, engine: Engine) -> None:
    """With one random draw, repeated, the discrepancy falls; initialisation and pixel range are respected."""
    settings = tiny_settings(calibration=0.0, steps=30, lr=3e-2, classes_at_once=3)
    distiller = Distiller(source, tiny_pool(source), settings, engine)
    start = distiller.stored.detach().clone()
    losses = [distiller.step(0)[0] for _ in range(30)]
    assert losses[-1] < 0.6 * losses[0]
    assert distiller.stored.min() >= 0
    assert distiller.stored.max() <= 1
    assert torch.equal(distiller.start, make_start(source, 1, 2, 0))
    assert torch.equal(distiller.start, start)


def test_the_scale_of_the_objective_does_not_matter(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings(calibration=0.0, steps=3, classes_at_once=3)
    usual = distill_images(source, tiny_pool(source), settings, engine).stored
    monkeypatch.setattr("ncfm_hub.matching.step.NCFD_WEIGHT", 300 * 2.0**-20)
    small = distill_images(source, tiny_pool(source), settings, engine).stored
    torch.testing.assert_close(small, usual, atol=1e-4, rtol=0)


@pytest.mark.parametrize("changes", [{"classes_at_once": 3}, {"classes_at_once": 2}, {"images_at_once": 5}])
def test_sizes_of_units_and_passes_do_not_change_a_step(
    source: Source, engine: Engine, changes: dict[str, int]
) -> None:
    gradients, losses = [], []
    for settings in (tiny_settings(), tiny_settings(**changes)):
        distiller = Distiller(source, tiny_pool(source), settings, engine)
        losses.append(distiller.step(5))
        gradients.append(distiller.stored.grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert gradients[0] is not None
    assert gradients[1] is not None
    assert oracle.cosine(gradients[0], gradients[1]) >= 1 - 1e-6


# --- draws -------------------------------------------------------------------------------------------------------


def rows_of(images: torch.Tensor, source: Source) -> list[int]:
    """Positions of images in the source's training split."""
    flat = source.train.images.flatten(1)
    return [int((flat == image.flatten()).all(1).nonzero()[0, 0]) for image in images]


def test_real_batches_are_drawn_anew_without_replacement_from_the_class(
    source: Source, engine: Engine, idle: Record
) -> None:
    settings = tiny_settings(real_batch=5, classes_at_once=3)
    distiller = Distiller(source, tiny_pool(source), settings, engine)
    seen: list[set[int]] = [set(), set(), set()]
    orders = set()
    for number in range(12):
        distiller.step(number)
        draw = idle.draws[-1]
        assert draw.sizes == (5, 5, 5)
        for c, part in enumerate(draw.real.split(5)):
            rows = rows_of(part, source)
            assert len(set(rows)) == 5
            assert (source.train.labels[rows] == c).all()
            seen[c] |= set(rows)
            orders.add(tuple(rows))
    assert all(len(rows) == 12 for rows in seen)  # in 12 steps every image of each class was seen
    assert len(orders) == 36


def test_a_class_smaller_than_the_real_batch_gives_all_it_has(engine: Engine, idle: Record) -> None:
    source = tiny_source(per_class=6)
    Distiller(source, tiny_pool(source), tiny_settings(real_batch=100, classes_at_once=3), engine).step(0)
    assert idle.draws[0].sizes == (6, 6, 6)
    assert sorted(rows_of(idle.draws[0].real, source)) == list(range(18))


def geometry_of(affine: torch.Tensor) -> str:
    """Which of the three was drawn for these images, from their maps (N, 2, 3)."""
    if (affine[:, 0, 1] != 0).any():
        return "rotate"
    if (affine[:, 1, 1] != 1).any():
        return "scale"
    return "crop"


def test_both_sides_share_the_geometry_and_nothing_else(source: Source, engine: Engine, idle: Record) -> None:
    distiller = Distiller(source, tiny_pool(source), tiny_settings(real_batch=4), engine)
    geometries = []
    for number in range(20):
        distiller.step(number)
    for draw in idle.draws:
        real, synthetic = draw.real_augmentation, draw.synthetic_augmentation
        assert geometry_of(real.affine) == geometry_of(synthetic.affine)
        geometries.append(geometry_of(real.affine))
        assert real.colour is not None
        assert synthetic.colour is not None
        assert len(torch.unique(torch.cat([real.colour, synthetic.colour])[:, 0])) == 8  # a draw per sample
    assert set(geometries) == {"crop", "scale", "rotate"}
    by_step = [geometries[first : first + 3] for first in range(0, 60, 3)]
    assert any(len(set(step)) > 1 for step in by_step)  # the choice is the class's


def test_mirroring_is_left_out_where_the_source_forbids_it(source: Source, engine: Engine, idle: Record) -> None:
    distiller = Distiller(source, tiny_pool(source), tiny_settings(flip=False), engine)
    for number in range(10):
        distiller.step(number)
    for draw in idle.draws:
        for side in (draw.real_augmentation, draw.synthetic_augmentation):
            assert (side.affine[:, 0, 0] > 0).all()


@pytest.mark.parametrize("cutout", [True, False])
def test_cutout_is_of_both_sides_or_of_none(source: Source, engine: Engine, idle: Record, cutout: bool) -> None:
    Distiller(source, tiny_pool(source), tiny_settings(cutout=cutout), engine).step(0)
    for draw in idle.draws:
        for side in (draw.real_augmentation, draw.synthetic_augmentation):
            assert (side.cutout is not None) == cutout
            assert side.colour is not None


def test_draws_depend_on_seed_step_and_class_and_on_no_chunk(source: Source, engine: Engine, idle: Record) -> None:
    def drawn(number: int, **changes: object) -> tuple[list[oracle.ClassDraw], torch.Tensor, float]:
        idle.draws.clear()
        distiller = Distiller(source, tiny_pool(source), tiny_settings(**changes), engine)
        distiller.step(number)
        return oracle_draws(idle.draws), idle.frequencies[-1], idle.blends[-1][1]

    draws, t, beta = drawn(7)
    for changes in ({"classes_at_once": 3}, {"classes_at_once": 2}, {"images_at_once": 3}):
        again, same_t, same_beta = drawn(7, **changes)
        assert torch.equal(t, same_t)
        assert beta == same_beta
        for one, other in zip(draws, again, strict=True):
            assert torch.equal(one.real, other.real)
            assert torch.equal(one.real_side.affine, other.real_side.affine)
            assert torch.equal(one.synthetic_side.affine, other.synthetic_side.affine)
    for number, changes in ((8, {}), (7, {"seed": 1})):
        others, other_t, other_beta = drawn(number, **changes)
        assert not torch.equal(t, other_t)
        assert beta != other_beta
        assert all(not torch.equal(one.real, other.real) for one, other in zip(draws, others, strict=True))


def test_one_pair_one_beta_and_one_set_of_frequencies_a_step(source: Source, engine: Engine, idle: Record) -> None:
    pool = tiny_pool(source, members=3)
    distiller = Distiller(source, pool, tiny_settings(real_batch=1, ipc=1, factor=1), engine)
    for number in range(150):
        distiller.step(number)
    assert len(idle.blends) == 150  # one for the three units of a step
    counts = [sum(pair == id(member) for pair, _ in idle.blends) for member in distiller.members]
    assert all(30 <= count <= 70 for count in counts)
    betas = torch.tensor([beta for _, beta in idle.blends]).sort().values
    uniform = (torch.arange(150) + 0.5) / 150
    assert (betas - uniform).abs().max() < 1.36 / 150**0.5  # Kolmogorov, 5 %
    for step in range(3):
        first, second, third = idle.frequencies[3 * step : 3 * step + 3]
        assert torch.equal(first, second)
        assert torch.equal(first, third)
    assert not torch.equal(idle.frequencies[0], idle.frequencies[3])


@pytest.mark.parametrize("sampling_network", [False, True])
def test_frequencies_of_a_step_are_all_distinct_normal_and_unbounded(
    source: Source, engine: Engine, idle: Record, sampling_network: bool
) -> None:
    """The authors' code has 4 distinct frequencies, no Gaussian factor, and a tanh that bounds them."""
    settings = tiny_settings(sampling_network=sampling_network, frequencies=512)
    Distiller(source, tiny_pool(source, name=STANDARD), settings, engine).step(0)
    t = idle.frequencies[0]
    assert t.shape == (512, 128 * 2 * 2)
    assert len(torch.unique(t, dim=0)) == 512
    assert t.std().item() == pytest.approx(1, rel=0.01)
    assert t.pow(4).mean().item() == pytest.approx(3, rel=0.03)
    assert t.abs().max() > 4


def test_labels_of_the_decoded_images_are_their_classes(source: Source, engine: Engine, idle: Record) -> None:
    Distiller(source, tiny_pool(source), tiny_settings(ipc=2, classes_at_once=2), engine).step(0)
    assert [labels.tolist() for labels in idle.labels] == [[0] * 8 + [1] * 8, [2] * 8]


# --- optimisers --------------------------------------------------------------------------------------------------


def test_the_schedule_is_the_images_and_not_psi_s(source: Source, engine: Engine, idle: Record) -> None:
    settings = tiny_settings(schedule="cosine", steps=8, sampling_network=True, sampling_lr=0.01)
    distiller = Distiller(source, tiny_pool(source), settings, engine)
    rates = []
    for number in range(8):
        distiller.step(number)
        assert distiller.sampling_optimizer is not None
        assert distiller.sampling_optimizer.param_groups[0]["lr"] == 0.01
        rates.append(distiller.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-2 * 0.5 * (1 + math.cos(math.pi * number / 8)) for number in range(8)])


@pytest.mark.parametrize(("name", "decays"), [("adam", False), ("adamw", True)])
def test_optimiser_of_the_images(source: Source, engine: Engine, idle: Record, name: str, decays: bool) -> None:
    settings = tiny_settings(optimizer=name, weight_decay=0.5 if decays else 0.0)
    distiller = Distiller(source, tiny_pool(source), settings, engine)
    before = distiller.stored.detach().clone()
    assert distiller.optimizer.param_groups[0]["eps"] == 1e-15
    distiller.step(0)  # zero gradients: what changes is the decay
    torch.testing.assert_close(distiller.stored.detach(), before * (1 - 0.5 * 1e-2) if decays else before)


def test_floor_and_units() -> None:
    closed = 300 * math.sqrt(math.pi) / 2 * math.sqrt((1 / 128 + 1 / 40) / 2)
    assert floor_of(128, 40, 0.5) == pytest.approx(closed, rel=1e-4)
    assert choose_classes_at_once(10, 40, 64) == 1
    assert choose_classes_at_once(100, 40, 4096) == 100
    assert choose_classes_at_once(100, 200, 4096) == 20
    assert choose_classes_at_once(6, 1000, 64) == 1


@pytest.mark.parametrize(
    ("classes", "images", "limit", "at_once"),
    [
        (101, 40, 1024, 21),  # at 64 px on a GPU: five units, the last of 17
        (101, 4, 64, 15),
        (7, 4, 24, 4),
        (10, 40, 256, 5),
        (100, 40, 256, 6),  # 17 units, the last of 4
        (37, 40, 256, 6),
        (43, 40, 256, 6),
        (102, 4, 64, 15),
        (2, 40, 256, 2),
        (1, 40, 4096, 1),
    ],
)
def test_units_are_full_for_any_number_of_classes(classes: int, images: int, limit: int, at_once: int) -> None:
    assert choose_classes_at_once(classes, images, limit) == at_once


@pytest.mark.parametrize(
    ("classes", "processes", "units"), [(10, 1, 1), (10, 2, 2), (10, 8, 10), (100, 3, 3), (2, 8, 2)]
)
def test_on_gpus_there_are_units_for_all_processes(classes: int, processes: int, units: int) -> None:
    """On a CPU the number of processes decides nothing: the result does not depend on it."""
    info = replace(tiny_source(classes=classes).info, resolution=32)
    recipe = load_pipeline("digits", preset="cpu", overrides={"distillation.ipc": 1}).recipe.distillation

    at_once = settings_of(recipe, info, True, "cuda", processes).classes_at_once
    assert math.ceil(classes / at_once) == units
    assert settings_of(recipe, info, True, "cpu", processes) == settings_of(recipe, info, True, "cpu", 1)
