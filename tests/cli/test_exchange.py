"""`export` and `import`: arguments passed to the library, output, and usage errors."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import click
import pytest

from ncfm_hub.cli import main
from ncfm_hub.errors import DistilledError

Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]
ABOUT = {"dataset": None, "normalised_by": {"origin": "of the exported images"}, "files": {"images.pt": "what it is"}}


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls: Calls = []

    def export_set(*args: Any, **kwargs: Any) -> tuple[Path, dict[str, Any]]:
        calls.append((args, kwargs))
        return Path("out"), ABOUT

    module = SimpleNamespace(export_set=export_set, ABOUT="export.json")
    monkeypatch.setitem(sys.modules, "ncfm_hub.publishing.exchange.exports", module)
    return calls


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls: Calls = []

    def import_set(*args: Any, **kwargs: Any) -> Any:
        calls.append((args, kwargs))
        cut = {"share": 0.0312, "lowest": -0.5, "highest": 1.25}
        about = {"file": "x.pt", "cut": cut, "assumed": ["label rows are logits"]}
        return SimpleNamespace(folder=Path("made"), name="ipc10", ipc=10, about=about)

    monkeypatch.setitem(sys.modules, "ncfm_hub.publishing.exchange.imports", SimpleNamespace(import_set=import_set))
    return calls


def test_export_hands_on_what_was_typed(invoke, exported):
    result = invoke(
        "export", "ada/x", "--to", "dd-ranking", "--output", "out", "--mean", "0.5,0.4,.3", "--std", "1,1,1"
    )
    assert result.stdout.splitlines() == ["out/images.pt  what it is", "out/export.json"]
    ((args, kwargs),) = exported
    assert args == ("ada/x", "dd-ranking", Path("out"))
    normalised = {"mean": (0.5, 0.4, 0.3), "std": (1.0, 1.0, 1.0)}
    assert kwargs == {**normalised, "dry_run": False, "revision": None, "token": None}
    assert "does not know this dataset; normalised by its own mean and std" in result.stderr
    assert invoke("export", "ada/x", "--to", "dc-bench", "-q").stdout == "out\n"
    found = json.loads(invoke("export", "ada/x", "--to", "dc-bench", "--format", "json").stdout)
    assert found == {"folder": "out", **ABOUT}


def test_every_benchmark_can_be_chosen():
    from ncfm_hub.publishing.exchange.conventions import Benchmark

    (choice,) = [param.type for param in main.commands["export"].params if param.name == "benchmark"]
    assert isinstance(choice, click.Choice)
    assert tuple(choice.choices) == get_args(Benchmark)


def test_every_kind_of_label_values_can_be_chosen():
    from ncfm_hub.publishing.exchange.foreign import LabelValues

    (choice,) = [param.type for param in main.commands["import"].params if param.name == "label_values"]
    assert isinstance(choice, click.Choice)
    assert tuple(choice.choices) == get_args(LabelValues)


def test_import_hands_on_what_was_typed(invoke, imported, tmp_path):
    file, labels = tmp_path / "x.pt", tmp_path / "labels.pt"
    file.touch()
    labels.touch()
    result = invoke(
        *("import", file, "--source", "cifar10", "--factor", "2", "--labels", labels, "--normalised", "--clip"),
        *("--mean", "0.5,0.5,0.5", "--made-by", "Ada", "--resolution", "64", "--set", "evaluation.updates=7"),
        *("--label-values", "logits", "--class-order", "sorted", "--zca", "fit"),
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == ["folder     made/ipc10", "per class  10 stored images"]
    assert "assumed: label rows are logits" in result.stderr
    assert "clipped 3.12% of the values, which ranged from -0.5 to 1.25" in result.stderr
    ((args, kwargs),) = imported
    assert args == (file, "cifar10", 2)
    assert kwargs.pop("progress") is not None
    assert kwargs == {
        "labels_file": labels,
        "label_values": "logits",
        "class_order": "sorted",
        "zca": "fit",
        "normalised": True,
        "mean": (0.5, 0.5, 0.5),
        "std": None,
        "clip": True,
        "made_by": "Ada",
        "output": None,
        "name": None,
        "preset": None,
        "overrides": {"source.resolution": 64, "evaluation.updates": 7},
        "dry_run": False,
        "token": None,
    }
    found = json.loads(invoke("import", file, "--source", "x", "--factor", "1", "--format", "json").stdout)
    assert (found["folder"], found["name"], found["imported"]["file"]) == ("made", "ipc10", "x.pt")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("export", "x"), "--to"),
        (("export", "x", "--to", "naslib"), "dd-ranking"),
        (("export", "x", "--to", "dc-bench", "--mean", "a,b"), "expected comma-separated numbers"),
        (("import", "missing.pt", "--source", "cifar10", "--factor", "1"), "missing.pt"),
        (("import", __file__, "--factor", "1"), "--source"),
        (("import", __file__, "--source", "cifar10"), "--factor"),
        (("import", __file__, "--source", "cifar10", "--factor", "0"), "--factor"),
    ],
)
def test_wrong_usage_exits_with_2(invoke, exported, imported, arguments, says):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not exported
    assert not imported


def test_what_the_library_refuses_is_one_line(invoke, exported, monkeypatch):
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise DistilledError("it is no set")

    monkeypatch.setattr(sys.modules["ncfm_hub.publishing.exchange.exports"], "export_set", refuse)
    result = invoke("export", "x", "--to", "dc-bench")
    assert (result.exit_code, result.stderr) == (1, "Error: it is no set\n")
