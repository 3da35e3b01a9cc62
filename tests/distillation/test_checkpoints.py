"""Checkpoints: whole, readable, and refused by name where they do not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ncfm_hub.distillation.checkpoints import load_checkpoint, save_checkpoint
from ncfm_hub.errors import CheckpointError
from tests.damage import flip

SETTINGS = {"distillation": {"seed": 0, "lr": 1e-3, "steps": 5}, "source": "abc", "threads": 2}


def test_tensors_and_step_come_back(tmp_path: Path) -> None:
    tensors = {
        "stored": torch.rand(2, 3, 4, 4).requires_grad_(),
        "moments": torch.rand(3, 5).T,
        "step": torch.tensor(7.0),
        "curve": torch.rand(4, 2, dtype=torch.float64),
    }
    save_checkpoint(tmp_path / "deep" / "state", tensors, 4, 12.5, SETTINGS)
    found, step, seconds = load_checkpoint(tmp_path / "deep" / "state", SETTINGS)
    assert (step, seconds) == (4, 12.5)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
        assert not found[name].requires_grad


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"threads": 1}, "threads = 2, this run has 1"),
        ({"source": "abd"}, "source = abc, this run has abd"),
        ({"distillation": {"seed": 1, "lr": 1e-3, "steps": 5}}, "distillation.seed = 0, this run has 1"),
        ({"distillation": {"seed": 0, "lr": 1.1e-3, "steps": 5}}, "distillation.lr = 0.001, this run has 0.0011"),
        ({"distillation": {"seed": 0, "lr": 1e-3}}, "distillation.steps = 5, this run has None"),
        ({"torch": "9"}, "torch = None, this run has 9"),
    ],
)
def test_the_setting_that_differs_is_named(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    save_checkpoint(tmp_path / "state", {"a": torch.zeros(1)}, 1, 2.0, SETTINGS)
    with pytest.raises(CheckpointError, match=message) as raised:
        load_checkpoint(tmp_path / "state", SETTINGS | changed)
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "state") in str(raised.value)


def test_numbers_are_compared_exactly_as_they_are_after_writing(tmp_path: Path) -> None:
    settings = {"lr": 0.1 + 0.2, "sizes": (1, 2), "none": None}
    save_checkpoint(tmp_path / "state", {"a": torch.zeros(1)}, 1, 2.0, settings)
    assert load_checkpoint(tmp_path / "state", settings)[1] == 1
    with pytest.raises(CheckpointError, match="lr"):
        load_checkpoint(tmp_path / "state", settings | {"lr": 0.3})


@pytest.mark.parametrize("damage", ["empty", "short", "noise", "foreign", "step", "folder"])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state"
    save_checkpoint(path, {"a": torch.rand(1000)}, 1, 2.0, SETTINGS)
    whole = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "foreign":
        save_file({"a": torch.zeros(1)}, path)
    elif damage == "step":
        save_file({"a": torch.zeros(1)}, path, {"step": "one", "seconds": "1", "settings": "{}"})
    else:
        path.write_bytes({"empty": b"", "short": whole[:-100], "noise": b"\xff" * 500}[damage])
    with pytest.raises(CheckpointError, match="not a readable checkpoint") as raised:
        load_checkpoint(path, SETTINGS)
    assert "\n" not in str(raised.value)


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    save_checkpoint(path, {"a": torch.zeros(1)}, 1, 2.0, SETTINGS)

    def breaks(tensors: dict[str, torch.Tensor], filename: Path, metadata: dict[str, str]) -> None:
        Path(filename).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", breaks)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"a": torch.ones(1)}, 2, 4.0, SETTINGS)
    assert load_checkpoint(path, SETTINGS)[1] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("place", [-4, '"step":"'])
def test_a_wrong_bit_in_images_or_facts_is_refused(tmp_path: Path, place: int | str) -> None:
    """As numbers, both are as good as the right ones."""
    path = tmp_path / "state"
    save_checkpoint(path, {"stored": torch.rand(2, 3, 4, 4)}, 1, 2.0, SETTINGS)
    assert load_checkpoint(path, SETTINGS)[1] == 1
    flip(path, path.read_bytes().index(place.encode()) + len(place) if isinstance(place, str) else place)
    with pytest.raises(CheckpointError, match=r"not a readable checkpoint \(its content is not what was written\)"):
        load_checkpoint(path, SETTINGS)
