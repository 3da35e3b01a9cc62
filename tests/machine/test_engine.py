"""What the engine finds on a machine, and does without."""

import sysconfig
from pathlib import Path

import pytest
import torch

from ncfm_hub.machine.cpu import cpu_features, cpu_name
from ncfm_hub.machine.engine import compiler_found, open_engine
from ncfm_hub.utils.progress import Silent

CPU = torch.device("cpu")


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def test_compiling_takes_a_compiler_and_the_headers_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler, headers = tmp_path / "c++", tmp_path / "include"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    headers.mkdir()
    (headers / "Python.h").touch()
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(headers))
    assert compiler_found(CPU)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not compiler_found(CPU)
    monkeypatch.delenv("CXX")
    (headers / "Python.h").unlink()
    assert not compiler_found(CPU)


@pytest.mark.usefixtures("compiler")
def test_what_is_missing_is_said_once_and_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncfm_hub.machine.engine.compiler_found", lambda device: False)
    monkeypatch.setattr("ncfm_hub.machine.precision.has_bf16", lambda device: False)
    notes = Notes()
    engine = open_engine("bf16", "auto", notes)
    assert (engine.precision, engine.compiled, engine.native) == ("fp32", False, True)
    assert [note.split(";")[0] for note in notes.said] == [
        "no bf16 on this machine",
        "no compiler with the headers of Python found",
    ]


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("precision", "compile_", "there", "native"),
    [
        ("fp32", "on", True, True),
        ("fp32", "off", True, False),
        ("bf16", "on", True, False),
        ("fp32", "on", False, False),
    ],
)
def test_code_of_our_own_takes_fp32_and_a_compiler(
    precision: str, compile_: str, there: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But no headers of Python, which many machines lack."""
    monkeypatch.setattr("ncfm_hub.machine.engine.compiler_found", lambda device: False)
    if not there:
        monkeypatch.setenv("CXX", "no-such-compiler")
    engine = open_engine(precision, compile_)
    assert (engine.compiled, engine.native) == (False, native)


@pytest.mark.parametrize(
    ("capability", "features", "auto", "asked_for"),
    [
        ("AVX512", {"avx512_bf16", "amx_tile"}, "bf16", "bf16"),
        ("AVX512", {"avx512_bf16"}, "fp32", "bf16"),
        ("AVX2", {"avx2"}, "fp32", "fp32"),
        ("DEFAULT", {"asimd", "bf16"}, "fp32", "bf16"),
    ],
)
def test_bf16_on_a_cpu_takes_tile_units_to_pay(
    capability: str, features: set[str], auto: str, asked_for: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("ncfm_hub.machine.precision.cpu_features", lambda: frozenset(features))
    assert open_engine("auto", "off").precision == auto
    assert open_engine("bf16", "off").precision == asked_for


def test_features_of_the_processor_are_words() -> None:
    lines = Path("/proc/cpuinfo")
    if lines.is_file():
        assert cpu_features()
    assert all(name == name.strip() and " " not in name for name in cpu_features())
    assert cpu_name() == cpu_name().strip() != ""
