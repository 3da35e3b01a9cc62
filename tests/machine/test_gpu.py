"""What a machine with a GPU must pass: `pytest -m gpu` there."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F

from ncfm_hub import api
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.machine.engine import Engine, compiler_found, open_engine
from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.networks.convnet import ConvNet
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.publishing import load_distilled
from tests import oracle
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
    assert engine.precision == ("bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32")
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


def test_a_step_from_the_same_state_is_the_cpu_s() -> None:
    source = tiny_source()
    ours, cpu_s = (
        Distiller(source, tiny_pool(source), tiny_settings(), engine) for engine in (open_engine("fp32"), on_cpu())
    )
    assert ours.step(0) == pytest.approx(cpu_s.step(0), rel=LOSS)
    assert ours.stored.grad is not None
    assert cpu_s.stored.grad is not None
    assert oracle.cosine(ours.stored.grad.cpu(), cpu_s.stored.grad) >= COSINE


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
