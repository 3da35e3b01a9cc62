"""`ncfm-hub continual`: arguments passed to the library, and output."""

import json
from pathlib import Path
from typing import Any

import pytest

from ncfm_hub.evaluation.continual import study as library
from ncfm_hub.evaluation.continual.study import ContinualStudy


def figure(*values: float) -> dict[str, Any]:
    return {"n": len(values), "mean": sum(values) / len(values), "std": 1.41, "values": list(values)}


def memory(name: str, *values: float) -> dict[str, Any]:
    step = {"classes": 5, "accuracy": figure(*values), "train_accuracy": figure(*values), "seconds": 1.0}
    return {"memory": name, "stored_per_class": 2, "steps": [step], "average_incremental": figure(*values)}


GAIN = figure(9.0, 11.0) | {"standard_error": 1.0}
RESULTS = {
    "memories": [memory("distilled", 62.0, 64.0), memory("random", 53.0, 53.0)],
    "differences": [
        {"memory": "distilled", "minus": "random", "steps": [{"classes": 5} | GAIN], "average_incremental": GAIN}
    ],
    "protocol": {"metric": "top-1", "labels": "hard", "orders": 2, "chance": [20.0], "notes": ["the first note"]},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def answer(*arguments: Any, **named: Any) -> ContinualStudy:
        calls.append((arguments, named))
        return ContinualStudy(Path("out"), RESULTS)

    monkeypatch.setattr(library, "continual", answer)
    return calls


def test_the_library_is_asked_once_and_the_table_shown(invoke, asked):
    result = invoke(
        *("continual", "runs/x", "--steps", "3", "--memories", "distilled, random", "--set", "evaluation.lr=0.1"),
        *("--pool", "ada/pool"),
    )
    (((target,), named),) = asked
    assert target == "runs/x"
    assert (named["steps"], named["orders"], named["memories"]) == (3, 5, ("distilled", "random"))
    assert (named["labels"], named["seed"], named["output"], named["source"]) == ("hard", 0, None, None)
    assert named["pool"] == "ada/pool"
    assert named["overrides"] == {"evaluation.lr": 0.1}
    assert "| 5            | 63.0 ± 1.4 | 53.0 ± 1.4 | 20.0   | +10.0 ± 1.0 (+9.0 to +11.0) |" in result.stdout
    assert "The first note" in result.stdout
    assert f"plot  {Path('out/continual.png')}" in result.stdout


def test_scripts_get_all_of_it_or_the_folder(invoke, asked):
    data = json.loads(invoke("continual", "runs/x", "--format", "json").stdout)
    assert data == {"folder": "out", "plot": str(Path("out/continual.png")), "results": RESULTS}
    assert invoke("continual", "runs/x", "-q").stdout == "out\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--memories", "distilled,coreset"], "'coreset' is none of"),
        (["--steps", "0"], "0 is not"),
        (["--labels", "x"], "x"),
        (["--set", "evaluation.students=0"], "--set evaluation.students has no effect here; use --orders"),
        (["--set", "evaluation.baselines=[random]"], "use --memories"),
        (["--set", "evaluation.soft_labels=false"], "use --labels"),
    ],
)
def test_wrong_usage_is_named(invoke, asked, arguments, says):
    result = invoke("continual", "runs/x", *arguments)
    assert (result.exit_code, asked) == (2, [])
    assert says in result.stderr


def test_what_cannot_be_measured_is_one_line(invoke, monkeypatch):
    from tests.evaluation.tiny_subject import tiny_subject

    monkeypatch.setattr(library, "open_subject", lambda *_: tiny_subject())
    result = invoke("continual", "runs/x", "--steps", "9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "5 classes cannot come in 9 steps; give 1 to 5 by --steps" in result.stderr


def test_where_nothing_can_be_written_is_known_before_anything_is_read(invoke, monkeypatch, tmp_path):
    monkeypatch.setattr(library, "open_subject", lambda *_, **__: pytest.fail("the set was read"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk.pt").touch()
    (tmp_path / "x-continual").touch()
    for arguments in (["--output", "junk.pt/x"], []):
        result = invoke("continual", "runs/x", *arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "is no folder; name another by --output" in result.stderr
