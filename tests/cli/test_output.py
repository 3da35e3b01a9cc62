"""Data to stdout, everything else to stderr; bars for people only."""

import io
import os
import sys

import pytest

from ncfm_hub.cli import _output as output
from ncfm_hub.cli._output import Output, rough_duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch) -> Terminal:
    """Put a terminal in place of stderr; within a test, because pytest sets stderr anew after the fixtures."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


@pytest.fixture(autouse=True)
def _first_process(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "0")


def test_a_terminal_gets_a_bar_with_rate_time_left_and_figures(monkeypatch):
    terminal = watch(monkeypatch)
    with Output("human").bar(4, "distilling", done=1) as bar:
        bar.advance(loss=21.25)
        bar.advance(2, loss=20.5)
    text = terminal.getvalue()
    assert "distilling: " in text
    assert "4/4" in text
    assert "loss=20.5" in text
    assert "<" in text  # elapsed<left


def test_a_note_does_not_break_a_running_bar(monkeypatch):
    terminal = watch(monkeypatch)
    out = Output("human")
    with out.bar(2, "pool") as bar:
        bar.advance()
        out.note("grey images were repeated to 3 channels")
    lines = terminal.getvalue().replace("\r", "\n").split("\n")
    assert "grey images were repeated to 3 channels" in [line.strip() for line in lines]


@pytest.mark.parametrize("format", ["json", "human"])
def test_without_a_terminal_a_bar_is_a_few_plain_lines(capsys, format, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    with Output(format).bar(100, "distilling", done=20) as bar:
        for _ in range(80):
            now[0] += 1.0
            bar.advance(loss=21.34567)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "distilling: 50/100 after 30 s, 50 s left, loss=21.35",
        "distilling: 80/100 after 60 s, 20 s left, loss=21.35",
        "distilling: 100/100 in 80 s, loss=21.35",
    ]


def test_json_draws_no_bar_even_on_a_terminal(monkeypatch):
    terminal = watch(monkeypatch)
    out = Output("json")
    with out.bar(1, "pool") as bar:
        bar.advance()
    assert "\r" not in terminal.getvalue()
    assert "pool: 1/1" in terminal.getvalue()


def test_quiet_says_nothing_but_the_word_asked_for(capsys):
    out = Output("quiet")
    out.note("starting")
    with out.bar(1, "pool") as bar:
        bar.advance()
    out.result({"folder": "x"}, ["a table"], quiet="x")
    out.result({"rows": []}, ["another"])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("x\n", "")


def test_the_bars_of_other_libraries_follow(monkeypatch):
    watch(monkeypatch)
    Output("human")
    assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "0"
    Output("json")
    assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
    assert os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] == "1"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (5340, "89 min"), (7500, "2 h 05 min")]
)
def test_duration(seconds, words):
    assert rough_duration(seconds) == words
