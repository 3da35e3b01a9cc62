"""Signals stop a long-running command with one line: the command that resumes it."""

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ncfm_hub.cli import main

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM", signal.SIGHUP: "stopped by SIGHUP"}
DISTILL = ("distill", "--dataset", "my set/x.yaml", "--ipc", "1", "--set", "pool.size=2", "--push", "-y")
FIRST = "resume from the last checkpoint with"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As a shell in the foreground leaves them, wherever the tests run (nohup); a command puts them back."""
    foreground = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in foreground.items()}
    yield
    after = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert after == foreground


def send(*numbers: signal.Signals) -> Callable[..., Any]:
    """A stage in whose midst signals come, one right after the other."""

    def stage(*_: Any, **__: Any) -> None:
        for number in numbers:
            os.kill(os.getpid(), number)
        time.sleep(10)
        raise AssertionError("not stopped")

    return stage


def typed(stderr: str, first: str) -> list[str]:
    """The arguments of the command that the last line gives."""
    line = stderr.splitlines()[-1]
    assert first in line
    program, *arguments = shlex.split(line.partition(f"{first}: ")[2])
    assert program == "ncfm-hub"
    return arguments


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("call", "arguments", "first", "then"),
    [
        ("plan", DISTILL, FIRST, (*DISTILL, "--resume")),
        ("carry_out", DISTILL, FIRST, (*DISTILL, "--resume")),
        ("carry_out", (*DISTILL, "--resume"), FIRST, (*DISTILL, "--resume")),
        ("carry_out", (*DISTILL, "--restart"), FIRST, (*DISTILL, "--resume")),
        ("pretrain", ("pretrain", "--dataset", "cifar10"), FIRST, ("pretrain", "--dataset", "cifar10")),
        ("evaluate", ("evaluate", "runs/a b", "runs/c"), "resume with", ("evaluate", "runs/a b", "runs/c")),
        ("evaluate", ("evaluate", "x", "--again"), "start it again with", ("evaluate", "x", "--again")),
        ("push", ("push", "/"), "push it again with", ("push", "/")),
    ],
)
def test_a_signal_ends_it_with_the_command_to_type(
    invoke: Any,
    library: Any,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    call: str,
    arguments: tuple[str, ...],
    first: str,
    then: tuple[str, ...],
) -> None:
    monkeypatch.setattr(library, call, send(number))
    result = invoke(*arguments)
    assert result.exit_code == 128 + number
    assert result.stderr.splitlines()[-1].startswith(f"Error: {SAID[number]}; {first}: ncfm-hub ")
    assert typed(result.stderr, first) == list(then)


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        ("continual", "ncfm_hub.evaluation.continual.study.continual"),
        ("nas", "ncfm_hub.evaluation.search.study.search_architectures"),
    ],
)
def test_so_are_studies(invoke: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, stage: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, send(signal.SIGTERM))
    result = invoke(command, "runs/x")
    assert result.exit_code == 143
    assert typed(result.stderr, "resume with") == [command, "runs/x"]


@pytest.mark.parametrize("given", [("--token", "odd-looking-token"), ("--token=odd-looking-token",)])
def test_the_token_is_not_in_it(invoke: Any, library: Any, monkeypatch: pytest.MonkeyPatch, given: tuple[str]) -> None:
    monkeypatch.setattr(library, "carry_out", send(signal.SIGTERM))
    result = invoke(*DISTILL[:3], *given, *DISTILL[3:])
    assert "odd-looking-token" not in result.output
    assert typed(result.stderr, f"{FIRST} (and the token in HF_TOKEN)") == [*DISTILL, "--resume"]


def test_signals_of_a_launcher_that_follow_are_not_heeded(
    invoke: Any, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "carry_out", send(signal.SIGTERM, signal.SIGHUP, signal.SIGTERM))
    monkeypatch.setenv("WORLD_SIZE", "2")
    first = invoke(*DISTILL)
    assert first.exit_code == 143
    assert typed(first.stderr, f"{FIRST} (under the same launcher)") == [*DISTILL, "--resume"]
    monkeypatch.setenv("RANK", "1")
    second = invoke(*DISTILL)
    assert (second.exit_code, second.output) == (143, "")


def test_what_nohup_has_ignored_stays_ignored(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def carry_out(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise ZeroDivisionError

    monkeypatch.setattr(library, "carry_out", carry_out)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = CliRunner().invoke(main, DISTILL)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert "ZeroDivisionError" in result.stderr
