"""The device of a run, as it is asked for."""

from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from ncfm_hub.cli import main
from ncfm_hub.errors import DeviceError
from ncfm_hub.machine.devices import choose_device
from ncfm_hub.machine.engine import open_engine


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("asked", "count", "device"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_the_device_is_the_one_asked_for(asked: str, count: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, count)
    assert choose_device(asked) == torch.device(device)


@pytest.mark.parametrize(
    ("asked", "count", "processes", "words"),
    [
        ("cuda", 0, 1, "finds no CUDA GPU here; give cpu, or leave it out"),
        ("cuda:0", 0, 1, "finds no CUDA GPU here"),
        ("cuda:2", 2, 1, "only cuda:0 to cuda:1"),
        ("cuda:1", 2, 2, "2 processes take a GPU each; give --device cuda"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    asked: str, count: int, processes: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, count)
    with pytest.raises(DeviceError, match=words):
        choose_device(asked, processes)


def test_an_engine_opens_on_the_cpu_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a process that has used the GPU before, which accelerate remembers."""
    gpus(monkeypatch, 1)
    accelerator = SimpleNamespace(device=torch.device("cuda"), num_processes=1)
    monkeypatch.setattr("ncfm_hub.machine.engine.Accelerator", lambda **options: accelerator)
    engine = open_engine("fp32", "off", device="cpu")
    assert engine.device == torch.device("cpu")
    assert engine.describe()["device"] == "cpu"


def test_the_command_line_says_in_a_line_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 0)
    asked = ["distill", "--dataset", "digits", "--ipc", "1", "--device", "cuda", "--dry-run"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 1
    assert "--device cuda: torch" in result.stderr
    assert result.stderr.count("\n") == 1
