"""What a machine with a GPU must pass: `pytest -m gpu` there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F

from ncfm_hub import api
from ncfm_hub.distillation import distiller as module
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.distillation.draws import Draws
from ncfm_hub.distillation.loop import distill_images
from ncfm_hub.evaluation.batches import BatchPlan, TrainingSet, student_batches
from ncfm_hub.machine.engine import Engine, compiler_found, open_engine
from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.networks.convnet import ConvNet
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.publishing import load_distilled
from tests import oracle
from tests.machine.test_engine import Notes
from tests.matching.tiny import tiny_pool, tiny_settings, tiny_source

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


@pytest.fixture(autouse=True)
def as_a_run_does() -> Iterator[None]:
    with reproducible():
        yield


LOSS, COSINE = 1e-5, 0.99999  # what fp32 promises between devices


def on_cpu() -> Engine:
    """torch's operations in fp32 on the CPU, on a machine whose engines open on the GPU."""
    accelerator: Any = SimpleNamespace(device=torch.device("cpu"), num_processes=1, process_index=0)
    return Engine(accelerator, "fp32", False, False)


def test_the_default_engine_opens_on_the_gpu() -> None:
    engine = open_engine()
    assert engine.device.type == "cuda"
    assert engine.describe()["description"] == torch.cuda.get_device_name()
    if torch.cuda.is_bf16_supported(including_emulation=False):
        assert engine.precision == "bf16"
    assert engine.compiled == compiler_found(engine.device)
    assert not engine.native
    with engine.autocast():
        product = torch.ones(8, 8, device=engine.device) @ torch.ones(8, 8, device=engine.device)
    assert product.float().cpu().equal(torch.full((8, 8), 8.0))


@pytest.mark.parametrize("compile_", ["auto", "off"])
def test_a_network_and_its_gradient_are_the_cpu_s(compile_: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = ConvNet(5, 3, 32).state_dict()
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def found(engine: Engine) -> tuple[torch.Tensor, torch.Tensor]:
        x = images.to(engine.device).requires_grad_()
        _, logits = FrozenNetwork(ConvNet(5, 3, 32), engine).bind(weights)(x)
        loss = F.cross_entropy(logits, torch.arange(8, device=engine.device) % 5)
        loss.backward()
        return loss.detach().cpu(), cast(torch.Tensor, x.grad).cpu()

    (loss, gradient), (expected, direction) = found(open_engine("fp32", compile_)), found(on_cpu())
    torch.testing.assert_close(loss, expected, rtol=LOSS, atol=0)
    assert oracle.cosine(gradient, direction) >= COSINE


def test_draws_are_the_cpu_s() -> None:
    source = tiny_source(per_class=30)
    make = {"real_batch": 8, "synthetic": 4, "flip": True, "cutout": True}
    ours, cpu_s = (Draws(source, "", 0, torch.device(name), **make) for name in ("cuda", "cpu"))
    number = torch.tensor(7, device="cuda")
    assert torch.equal(ours.rows(number, range(3)).cpu(), cpu_s.rows(7, range(3)))
    here, there = ours.geometry(number, range(3)), cpu_s.geometry(7, range(3))
    assert torch.equal(here.cpu(), there)
    for one, other in (
        (ours.real(number, range(3), here), cpu_s.real(7, range(3), there)),
        (ours.decoded(number, range(3), here), cpu_s.decoded(7, range(3), there)),
    ):
        assert one.colour is not None
        assert one.cutout is not None
        assert other.colour is not None
        torch.testing.assert_close(one.affine.cpu(), other.affine, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(one.colour.cpu(), other.colour, rtol=1e-6, atol=0)
        assert torch.equal(one.cutout.cpu(), cast(torch.Tensor, other.cutout))


def test_students_batches_are_the_cpu_s() -> None:
    source = tiny_source(per_class=30)
    pool = tiny_pool(source)
    plan = BatchPlan(updates=3, batch_size=8, cutmix=1.0, flip=True, augment=True)
    sets = [TrainingSet(source.train.images, source.train.labels)] * 2
    ours, cpu_s = (
        list(student_batches(sets, (0, 1), pool.architecture, plan, engine))
        for engine in (open_engine("fp32"), on_cpu())
    )
    for (x, targets), (one, other) in zip(ours, cpu_s, strict=True):
        torch.testing.assert_close(x.cpu(), one, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(targets.cpu(), other, rtol=1e-6, atol=1e-6)


def frequencies_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both devices with the same frequencies, which each draws by a generator of its own."""
    normal = module.normal_frequencies

    def drawn(count: int, dimension: int, scale: float, draws: torch.Generator, orthogonal: bool) -> torch.Tensor:
        known = torch.Generator().manual_seed(3)
        return normal(count, dimension, scale, known, orthogonal).to(draws.device)

    monkeypatch.setattr(module, "normal_frequencies", drawn)


@pytest.mark.parametrize(
    ("precision", "compile_", "loss", "cosine"),
    [("fp32", "off", LOSS, COSINE), ("fp32", "auto", LOSS, COSINE), ("auto", "auto", 1e-3, 0.9999)],
)
def test_steps_from_the_same_state_are_the_cpu_s(
    precision: str, compile_: str, loss: float, cosine: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first as it is written, the sixth as the graph that was captured before it."""
    frequencies_of_the_cpu(monkeypatch)
    source, notes = tiny_source(size=32), Notes()
    ours, cpu_s = (
        Distiller(source, tiny_pool(source), tiny_settings(steps=9, classes_at_once=3), engine, notes)
        for engine in (open_engine(precision, compile_), on_cpu())
    )
    for number in range(6):
        with torch.no_grad():
            ours.stored.copy_(cpu_s.stored)
        found, expected = ours.step(number).cpu(), cpu_s.step(number)
        torch.testing.assert_close(found, expected, rtol=loss, atol=0)
        assert ours.stored.grad is not None
        assert cpu_s.stored.grad is not None
        assert oracle.cosine(ours.stored.grad.cpu(), cpu_s.stored.grad) >= cosine
    assert [note for note in notes.said if "graph" in note] == []


def test_a_resumed_run_ends_like_one_never_stopped(tmp_path: Path) -> None:
    source, settings = tiny_source(), tiny_settings(steps=8, checkpoint_every=4)
    pool, engine = tiny_pool(source), open_engine("fp32", "off")
    whole = distill_images(source, pool, settings, engine)
    part = tmp_path / "state.safetensors"
    with interrupted_at(5), pytest.raises(KeyboardInterrupt):
        distill_images(source, pool, settings, engine, part)
    again = distill_images(source, pool, settings, engine, part, resume=True)
    torch.testing.assert_close(torch.tensor(again.curve), torch.tensor(whole.curve), rtol=1e-3, atol=0)
    assert oracle.cosine(again.stored - again.start, whole.stored - whole.start) >= 0.999


@contextmanager
def interrupted_at(last: int) -> Iterator[None]:
    """Interrupt a distillation at this step."""
    step = Distiller.step

    def stop(distiller: Distiller, number: int) -> torch.Tensor:
        if number == last:
            raise KeyboardInterrupt
        return step(distiller, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Distiller, "step", stop)
        yield


def test_digits_are_distilled_by_the_default_engine(home: Path) -> None:
    overrides = {
        "source.classes": [3, 0],
        "pool.size": 1,
        "pool.epochs": 1,
        "distillation.steps": 3,
        "evaluation.students": 1,
        "evaluation.updates": 2,
        "evaluation.baselines": ["random"],
        "engine.precision": "auto",
        "engine.compile": "auto",
    }
    run = api.distill("digits", 1, preset="cpu", overrides=overrides, output=home / "digits")
    assert [(row["set"], row["accuracy"]["n"]) for row in run.results["rows"] if row["labels"] == "hard"] == [
        ("random", 1),
        ("distilled", 1),
    ]
    assert load_distilled(run.folder).images.shape == (8, 1, 16, 16)
