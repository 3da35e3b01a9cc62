"""Compiling is announced on a GPU, and what cannot be compiled runs as it is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ncfm_hub.machine.compiling import Compiler
from tests.damage import Notes

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def double(x: int) -> int:
    return 2 * x


def compiles_to(monkeypatch: pytest.MonkeyPatch, made: Callable[[Any], Any]) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **options: made)


def test_the_wait_is_said_once_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    compiles_to(monkeypatch, lambda x: 20 * x)
    notes = Notes()
    compiler = Compiler(notes)
    assert [compiler.compiled(double, CPU)(1), notes.said] == [20, []]
    assert [compiler.compiled(double, GPU)(x) for x in (1, 2)] == [20, 40]
    assert compiler.compiled(double, GPU)(3) == 60
    assert notes.said == ["compiling for this GPU, 15 to 30 s"]


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(x: int) -> int:
        tried.append(x)
        raise RuntimeError("no ptxas\nanywhere")

    compiles_to(monkeypatch, fail)
    notes = Notes()
    compiler = Compiler(notes)
    one, other = (compiler.compiled(double, CPU) for _ in range(2))
    assert [one(1), one(2), other(3)] == [2, 4, 6]
    assert tried == [1, 3]
    assert notes.said == ["torch.compile failed here; going on without it, more slowly (no ptxas anywhere)"]


def test_out_of_memory_is_no_failure_of_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."), 7]

    def work(x: int) -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    compiles_to(monkeypatch, work)
    notes = Notes()
    compiled = Compiler(notes).compiled(double, CPU)
    with pytest.raises(RuntimeError, match="out of memory"):
        compiled(1)
    assert compiled(1) == 7
    assert notes.said == []


def test_once_it_has_run_errors_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(x: int) -> int:
        if x > 1:
            raise RuntimeError("operation not permitted when stream is capturing")
        return x

    compiles_to(monkeypatch, work)
    compiled = Compiler().compiled(double, CPU)
    assert compiled(1) == 1
    with pytest.raises(RuntimeError, match="capturing"):
        compiled(2)
