"""`ncfm-hub nas`: arguments passed to the library, and output."""

import json
from typing import Any

import pytest


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[tuple[str, dict[str, Any]]]:
    """The calls of the library, which answers without training."""
    from ncfm_hub.evaluation.search import report as search_report
    from ncfm_hub.evaluation.search import study as search

    calls: list[tuple[str, dict[str, Any]]] = []

    def answer(target: str, **request: Any) -> dict[str, Any]:
        calls.append((target, request))
        return {"target": target}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "search_architectures", answer)
    monkeypatch.setattr(search_report, "write_search", lambda folder, found: calls.append((str(folder), found)))
    monkeypatch.setattr(search_report, "agreement_lines", lambda found: ["| proxy |"])
    monkeypatch.setattr(search_report, "architecture_lines", lambda found: ["| architecture |"])
    return calls


def test_its_options_reach_the_library(invoke, searched):
    result = invoke(
        *("nas", "runs/x", "--architectures", "alexnet, vgg11", "--sample", 2, "--seed", 3, "--proxy-updates", 5),
        *("--whole-updates", 9, "--students", 2, "--baseline", "none", "--set", "evaluation.lr=0.01", "--output", "o"),
    )
    assert result.exit_code == 0, result.stderr
    (target, given), (folder, written) = searched
    assert (target, folder, written) == ("runs/x", "o", {"target": "runs/x"})
    assert (given["architectures"], given["sample"], given["seed"]) == (["alexnet", "vgg11"], 2, 3)
    budget = given["budget"]
    assert (budget.proxy_updates, budget.whole_updates, budget.students) == (5, 9, 2)
    assert given["random_baseline"] is False
    assert given["overrides"] == {"evaluation.lr": 0.01}
    assert result.stdout.splitlines() == ["| proxy |", "", "| architecture |", "", "folder o"]


def test_without_options_it_searches_the_space_against_random_images(invoke, searched):
    result = invoke("nas", "ada/cifar10-ncfm-ipc10", "--format", "json")
    assert json.loads(result.stdout) == {"target": "ada/cifar10-ncfm-ipc10", "folder": "cifar10-ncfm-ipc10-nas"}
    given = searched[0][1]
    assert (given["architectures"], given["sample"], given["random_baseline"]) == (None, None, True)
    assert (given["budget"].proxy_updates, given["budget"].whole_updates) == (200, 800)
    assert invoke("nas", "ada/x", "-q").stdout == "x-nas\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--space", "convnet", "--architectures", "vgg11"), "exclude each other"),
        (("--architectures", "vgg11,,x"), "expected comma-separated names"),
        (("--space", "darts"), "'darts' is not 'convnet'"),
        (("--proxy-updates", "0"), "0 is not in the range"),
        (("--set", "evaluation.updates=7"), "evaluation.updates has no effect here; use --proxy-updates and --whole-"),
        (("--set", "evaluation.students=9"), "--set evaluation.students has no effect here; use --students"),
        (("--set", "evaluation.architectures=[vgg11]"), "use --architectures"),
    ],
)
def test_wrong_use_is_refused_before_anything_starts(invoke, searched, arguments, message):
    result = invoke("nas", "runs/x", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not searched


def test_an_unknown_network_is_one_line(invoke, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = invoke("nas", tmp_path / "nothing", "--architectures", "vgg11")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "nothing" in result.stderr


def test_it_says_where_an_earlier_search_went(invoke, searched, monkeypatch):
    from ncfm_hub.evaluation.search import report as search_report

    monkeypatch.setattr(search_report, "write_search", lambda folder, found: folder / "nas-1.json")
    assert "the earlier search is now o/nas-1.json" in invoke("nas", "runs/x", "--output", "o").stderr


def test_where_nothing_can_be_written_is_known_before_anything_starts(invoke, searched, tmp_path):
    (tmp_path / "junk.pt").touch()
    (tmp_path / "x-nas").touch()
    for arguments in (["--output", "junk.pt/x"], []):
        result = invoke("nas", "runs/x", *arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "is no folder; name another by --output" in result.stderr
    assert not searched
