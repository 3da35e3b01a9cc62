"""Calls of the library leave the process's settings as they were; on a machine without a GPU torch is told of one."""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import ncfm_hub
from ncfm_hub.machine.engine import open_engine
from ncfm_hub.machine.reproducible import reproducible

SMALL = {"engine.precision": "fp32", "engine.compile": "on", "pool.size": 1, "evaluation.students": 0}
OURS, USERS = (False, True, False, False), (True, False, True, True)


def switches() -> tuple[bool, ...]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32


def switch(values: tuple[bool, ...]) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = values


class StoppedError(Exception):
    """From inside a call."""


@pytest.fixture
def user_s(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user's own settings, for a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = switches()
    switch(USERS)
    yield
    switch(before)


@pytest.mark.parametrize(
    ("inside", "call"),
    [
        ("ncfm_hub.planning.plan.resolve_named", lambda: ncfm_hub.plan("digits", 1)),
        ("ncfm_hub.api.resolve_named", lambda: ncfm_hub.pretrain("digits")),
        ("ncfm_hub.evaluation.evaluate.evaluate_sets", lambda: ncfm_hub.evaluate("nowhere")),
        ("ncfm_hub.evaluation.continual.study.open_subject", lambda: ncfm_hub.continual("nowhere")),
        ("ncfm_hub.evaluation.search.study.open_subject", lambda: ncfm_hub.search_architectures("nowhere")),
        ("ncfm_hub.evaluation.search.naslib.open_subject", lambda: ncfm_hub.naslib_datasets("nowhere")),
    ],
    ids=["plan", "pretrain", "evaluate", "continual", "search", "naslib"],
)
@pytest.mark.usefixtures("user_s")
def test_a_call_computes_in_fp32_and_puts_the_switches_back(
    inside: str, call: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def stop(*_: object, **__: object) -> None:
        found.append(switches())
        raise StoppedError

    monkeypatch.setattr(inside, stop)
    with pytest.raises(StoppedError):
        call()
    assert found == [OURS]
    assert switches() == USERS


@pytest.mark.usefixtures("user_s")
def test_the_switches_are_the_user_s_again_when_it_ends() -> None:
    with reproducible():
        assert switches() == OURS
    assert switches() == USERS


def test_random_state_and_memory_stay_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load = ctypes.CDLL

    def listen(name: str | None, *rest: object) -> ctypes.CDLL:
        assert name is not None, "the library set what it cannot put back"  # as in `keep_freed_memory`
        return load(name, *rest)  # kernels of our own, where an earlier run has built them

    monkeypatch.setattr(ctypes, "CDLL", listen)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    open_engine("fp32", "off")
    ncfm_hub.plan("digits", 1, overrides=SMALL, output=tmp_path / "o")
    after = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_plan_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even with an empty cache: the compiler is looked for and not called."""
    compiler, called = tmp_path / "cxx", tmp_path / "called"
    compiler.write_text(f"#!/bin/sh\ntouch {called}\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    ncfm_hub.plan("digits", 1, overrides=SMALL, output=tmp_path / "o")
    assert open_engine("fp32", "on", build=False).native
    assert not called.exists()
    assert not (tmp_path / "cache" / "native").exists()
