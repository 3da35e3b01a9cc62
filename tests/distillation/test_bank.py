"""The bank: entries equal what a step would compute, are stored once and visited in turn."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ncfm_hub.distillation.distiller as loop
import ncfm_hub.distillation.units as units
from ncfm_hub.distillation.bank import Bank
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.distillation.loop import distill_images
from ncfm_hub.errors import CheckpointError
from ncfm_hub.extractors.pool import blend
from ncfm_hub.machine.engine import Engine
from ncfm_hub.matching.augment import GEOMETRIES
from ncfm_hub.matching.frequencies import normal_frequencies
from ncfm_hub.matching.step import UnitDraw, real_statistics
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.progress import Silent
from tests import oracle
from tests.damage import Notes, flip
from tests.matching.tiny import tiny_pool, tiny_settings


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))
    return tmp_path / "banks"


def refuse(entry: int) -> torch.Tensor:
    raise AssertionError(f"entry {entry} was computed again")


def test_an_entry_is_the_real_side_of_a_step_drawn_under_the_bank_s_seed(source: Source, engine: Engine) -> None:
    """A step on the bank equals one whose real side is computed then and there, but for the rounding to fp16."""
    settings = tiny_settings(bank=3, bank_seed=4, calibration=0.0)
    distiller = Distiller(source, tiny_pool(source), settings, engine)
    assert distiller.bank is not None
    entry = distiller.bank.entry(0, 1)
    rounded = distiller.bank.statistics(entry)
    draws, classes = distiller.bank_draws, range(3)
    assert draws is not None
    member = distiller.pool.members[int(torch.randint(2, (), generator=(shared := distiller.of_entry(entry))))]
    hybrid = distiller.units.network.bind_real(blend(member, float(torch.rand((), generator=shared))))
    t = normal_frequencies(64, distiller.dimension, 1.0, shared)
    real, augmentation = (
        source.train.images[draws.rows(entry, classes)],
        draws.real(entry, classes, draws.geometry(entry, classes)),
    )
    draw = UnitDraw(real, draws.sizes(classes), augmentation, augmentation[:0])
    precise = real_statistics(draw, t, hybrid, distiller.units.of_a_step)
    assert rounded.shape == (3, 2 * 64)
    assert (rounded - precise).abs().max() < 2.0**-11
    distiller.step(1)
    gradient = distiller.stored.grad
    distiller.bank.statistics = lambda number: precise  # type: ignore[method-assign]
    with torch.no_grad():
        distiller.stored.copy_(distiller.start)
    distiller.step(1)
    assert gradient is not None
    assert distiller.stored.grad is not None
    assert oracle.cosine(gradient, distiller.stored.grad) >= 0.9999


@pytest.mark.slow
def test_frequencies_hybrid_and_geometry_of_a_step_are_its_entry_s(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the two sides of a comparison share has to be shared with the bank too."""
    pool = tiny_pool(source)
    seen: list[tuple[torch.Tensor, list[str]]] = []
    unit_step = units.unit_step

    def listen(stored: torch.Tensor, labels: torch.Tensor, draw, frequencies, *rest, **options):  # type: ignore[no-untyped-def]
        affine = draw.synthetic_augmentation.affine
        kind = "rotate" if affine[0, 0, 1] != 0 else "scale" if affine[0, 1, 1] != 1 else "crop"
        seen.append((frequencies, [kind]))
        return unit_step(stored, labels, draw, frequencies, *rest, **options)

    blends: list[dict[str, torch.Tensor]] = []

    def listen_to_blend(member, beta):  # type: ignore[no-untyped-def]
        blends.append(blend(member, beta))
        return blends[-1]

    monkeypatch.setattr(units, "unit_step", listen)
    monkeypatch.setattr(loop, "blend", listen_to_blend)
    distiller = Distiller(source, pool, tiny_settings(bank=5), engine)
    assert distiller.bank is not None
    for number in range(4):
        seen.clear()
        blends.clear()
        distiller.step(number)
        entry = distiller.bank.entry(0, number)
        draws = distiller.of_entry(entry)
        distiller._hybrid(draws)
        used, of_entry = blends
        assert all(torch.equal(used[name], of_entry[name]) for name in used)
        expected = distiller._frequencies(draws)
        for c, (frequencies, (kind,)) in enumerate(seen):
            assert torch.equal(frequencies, expected)
            assert distiller.bank_draws is not None
            assert kind == GEOMETRIES[int(distiller.bank_draws.geometry(entry, [c]))]


def test_every_entry_comes_once_a_round_in_an_order_of_the_run_s_own(engine: Engine) -> None:
    bank = Bank(7, 0, {}, engine)
    rounds = [[bank.entry(seed, step) for step in range(first, first + 7)] for seed, first in ((0, 0), (0, 7), (1, 0))]
    assert all(sorted(visited) == list(range(7)) for visited in rounds)
    assert rounds[0] != rounds[1]
    assert rounds[0] != rounds[2]


def test_synthetic_augmentations_differ_from_visit_to_visit(source: Source, engine: Engine) -> None:
    distiller = Distiller(source, tiny_pool(source), tiny_settings(bank=1), engine)
    assert distiller.bank_draws is not None
    geometry = distiller.bank_draws.geometry(0, range(3))
    first, second = (distiller.units.draws.decoded(number, range(3), geometry) for number in (0, 1))
    assert first.colour is not None
    assert second.colour is not None
    assert not torch.equal(first.colour, second.colour)


@pytest.mark.slow
def test_what_is_there_is_not_computed_again_and_what_is_damaged_is(
    source: Source, engine: Engine, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings(bank=3)
    first = distill_images(source, tiny_pool(source), settings, engine).stored
    files = sorted(cache.rglob("*.safetensors"))
    assert [path.name for path in files] == ["00000.safetensors", "00001.safetensors", "00002.safetensors"]
    whole = files[1].read_bytes()
    for damaged in (whole[:20], whole[:-1]):
        files[1].write_bytes(damaged)
        assert torch.equal(distill_images(source, tiny_pool(source), settings, engine).stored, first)
        assert files[1].read_bytes() == whole
    monkeypatch.setattr(Distiller, "_bank_statistics", lambda self, entry: refuse(entry))
    for same in ({}, {"seed": 1}, {"ipc": 2}, {"alpha": 0.1}):
        distill_images(
            source, tiny_pool(source), tiny_settings(bank=3, **same), engine
        )  # none of these has a part in the real side


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"bank_seed": 1},
        {"real_batch": 5},
        {"frequencies": 32},
        {"frequency_scale": 2.0},
        {"orthogonal": True},
        {"normalize_features": False},
        {"flip": False},
        {"cutout": False},
        {"matching": "mean"},
        {"images_at_once": 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_banks_of_other_real_sides_are_kept_apart(
    source: Source, engine: Engine, cache: Path, change: dict[str, object]
) -> None:
    Distiller(source, tiny_pool(source), tiny_settings(bank=1), engine)
    Distiller(source, tiny_pool(source), tiny_settings(bank=1, **change), engine)
    assert len(list(cache.iterdir())) == 2


def test_a_larger_bank_goes_on_from_a_smaller_one(source: Source, engine: Engine, cache: Path) -> None:
    Distiller(source, tiny_pool(source), tiny_settings(bank=2), engine)
    Distiller(source, tiny_pool(source), tiny_settings(bank=3), engine)
    assert len(list(cache.iterdir())) == 1
    assert len(list(cache.rglob("*.safetensors"))) == 3


def test_processes_fill_a_bank_between_them(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def compute(entry: int) -> torch.Tensor:
        made.append(entry)
        return torch.full((2, 4), float(entry))

    class Process:
        num_processes = 3

        def __init__(self, process_index: int):
            self.process_index = process_index

        def wait_for_everyone(self) -> None:
            pass

    # Each sees what is missing at its own time; none may take another's work for its own.
    Bank(7, 0, {}, replace(engine, accelerator=Process(1))).fill(20, 0, compute, Silent())  # type: ignore[arg-type]
    assert made == [1, 4]


def test_only_entries_that_a_run_visits_are_computed(engine: Engine) -> None:
    made: list[int] = []
    bank = Bank(50, 0, {}, engine)
    bank.fill(3, 8, lambda entry: torch.full((1, 2), float(made.append(entry) is None)), Silent())
    assert sorted(made) == sorted({bank.entry(8, step) for step in range(3)})


def test_pools_that_share_a_key_and_not_their_weights_share_no_bank(
    source: Source, engine: Engine, cache: Path
) -> None:
    """As two machines make them from one recipe."""
    pool = tiny_pool(source)
    init, trained = pool.members[1]
    other = {name: value + 1e-7 if name == "head.bias" else value for name, value in trained.items()}
    for some in (pool, replace(pool, members=(pool.members[0], (init, other)))):
        Distiller(source, some, tiny_settings(bank=1), engine)
    assert len(list(cache.iterdir())) == 2


def test_an_entry_that_is_gone_is_named(source: Source, engine: Engine, cache: Path) -> None:
    distiller = Distiller(source, tiny_pool(source), tiny_settings(bank=1), engine)
    (path,) = cache.rglob("*.safetensors")
    path.unlink()
    with pytest.raises(CheckpointError, match=r"00000.safetensors, an entry of the bank, is gone .* --resume"):
        distiller.step(0)


def test_a_sampling_network_is_refused(source: Source, engine: Engine) -> None:
    with pytest.raises(ValueError, match="neither a bank"):
        Distiller(source, tiny_pool(source), tiny_settings(bank=2, sampling_network=True), engine)


def test_a_wrong_bit_in_an_entry_is_found_said_and_mended(source: Source, engine: Engine, cache: Path) -> None:
    settings = tiny_settings(bank=2)
    distiller = Distiller(source, tiny_pool(source), settings, engine)
    path, _ = sorted(cache.rglob("*.safetensors"))
    whole, notes = path.read_bytes(), Notes()
    flip(path)
    with pytest.raises(CheckpointError, match="an entry of the bank, is gone or damaged"):
        distiller.bank.statistics(0)  # type: ignore[union-attr]
    Distiller(source, tiny_pool(source), settings, engine, notes)
    assert path.read_bytes() == whole
    assert notes.said == [f"{path} is damaged (its content is not what was written); it is made anew"]
