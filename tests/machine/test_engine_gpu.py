"""What the engine chooses on a GPU, on a machine that has none: torch is told what it would find."""

import ast
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ncfm_hub.machine.engine import Engine, open_engine
from tests.conftest import REPOSITORY
from tests.machine.test_engine import Notes

PASCAL, T4, V100, A100, H200 = (6, 1), (7, 5), (7, 0), (8, 0), (9, 0)


def has_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], triton: bool = True) -> None:
    """A GPU as torch's public functions show it; what they say of bf16 by default counts emulation."""
    asked: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_capability": lambda device=None: capability,
        "is_bf16_supported": lambda including_emulation=True: including_emulation or capability >= A100,
    }
    for name, answer in asked.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    accelerator = SimpleNamespace(device=torch.device("cuda", 0), num_processes=1)
    monkeypatch.setattr("ncfm_hub.machine.engine.Accelerator", lambda **options: accelerator)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", torch.backends.cudnn.deterministic)  # put back after
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: (object() if triton else None) if name == "triton" else find(name, *rest),
    )
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(Path(__file__).parent / "headers"))
    monkeypatch.setattr(Path, "is_file", lambda path: path.name == "Python.h")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


@pytest.mark.parametrize(
    ("capability", "precision"),
    [(PASCAL, "fp32"), (V100, "fp16"), (T4, "fp16"), (A100, "bf16"), (H200, "bf16")],
    ids=str,
)
def test_the_default_engine_opens_on_a_gpu(
    capability: tuple[int, int], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16 where the GPU has it, else fp16 where that is fast: emulated bf16 is slower than fp32."""
    has_gpu(monkeypatch, capability)
    notes = Notes()
    engine = open_engine(progress=notes)
    assert (engine.device.type, engine.precision) == ("cuda", precision)
    assert (engine.compiled, engine.native) == (capability > PASCAL, False)
    assert len(notes.said) == (capability == PASCAL)  # that there is no triton for it


def test_emulated_bf16_is_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    has_gpu(monkeypatch, T4)
    notes = Notes()
    assert open_engine("bf16", progress=notes).precision == "fp16"
    assert notes.said == ["no bf16 on this machine; computing in fp16"]
    assert open_engine("fp32", progress=notes).precision == "fp32"


@pytest.mark.parametrize(("capability", "triton"), [((6, 1), True), (H200, False)], ids=["pascal", "no triton"])
def test_networks_run_uncompiled_where_triton_cannot_work(
    capability: tuple[int, int], triton: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_gpu(monkeypatch, capability, triton)
    notes = Notes()
    engine: Engine = open_engine(progress=notes)
    assert not engine.compiled
    assert [note.split(";")[0] for note in notes.said] == ["no compiler with the headers of Python found"]


def test_nothing_private_of_torch_is_used() -> None:
    """What begins with an underscore may be gone in the next version, or not be there until something else ran."""
    private = []
    for path in sorted((REPOSITORY / "ncfm_hub").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Attribute):
                names = ast.unparse(node).split(".")
            elif isinstance(node, ast.Import):
                names = [part for alias in node.names for part in alias.name.split(".")]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
            if names[:1] == ["torch"] and any(name.startswith("_") and name != "__version__" for name in names):
                private.append(f"{path.name}:{node.lineno}: {'.'.join(names)}")
    assert private == []
