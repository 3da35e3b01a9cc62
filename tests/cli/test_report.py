"""`ncfm-hub report`: one call of the library, and one line for what cannot be reported on."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.publishing.noise_sets import noise_set, write_folder


def test_everything_is_handed_over(invoke, monkeypatch):
    calls = []

    def write_report(targets, path, **request):
        calls.append((targets, path, request))
        return path

    monkeypatch.setitem(sys.modules, "ncfm_hub.reporting", SimpleNamespace(write_report=write_report))
    result = invoke(
        "report", "a", "ada/b", "--output", "p.html", "--source", "digits", "--no-start", "--revision", "v1"
    )
    assert result.stdout == "p.html\n"
    assert json.loads(invoke("report", "a", "--format", "json").stdout) == {"report": "report.html"}
    (first, path, request), (_, default, plain) = calls
    assert (first, path, default) == (("a", "ada/b"), Path("p.html"), Path("report.html"))
    assert (request["source"], request["start"], request["revision"]) == ("digits", False, "v1")
    assert (plain["source"], plain["start"], plain["revision"], plain["token"]) == (None, True, None, None)


def test_a_page_is_written(invoke, tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    result = invoke("report", folder, "--no-start", "--output", tmp_path / "new" / "p.html", "-q")
    assert result.stdout == f"{tmp_path / 'new' / 'p.html'}\n"
    assert (tmp_path / "new" / "p.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("results", "said"), [(None, "it has no pipeline.yaml"), ("{", "results.json is not JSON"), ('{"rows": 1}', "rows")]
)
def test_what_is_no_set_or_damaged_is_one_line(invoke, tmp_path, results, said):
    folder = tmp_path / "set"
    folder.mkdir()
    if results:
        write_folder(folder, noise_set())
        (folder / "ipc2" / "results.json").write_text(results)
    result = invoke("report", folder, "--no-start", "--output", tmp_path / "p.html")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert said in line
    assert not (tmp_path / "p.html").exists()


def test_a_file_of_another_kind_is_not_written_over(invoke, tmp_path):
    folder, precious = write_folder(tmp_path / "set", noise_set()), tmp_path / "precious.txt"
    precious.write_text("years of work\n")
    result = invoke("report", folder, "--no-start", "--output", precious)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {precious} is there already and is no report of ncfm-hub")
    assert precious.read_text() == "years of work\n"
    for _ in range(2):
        assert invoke("report", folder, "--no-start", "--output", tmp_path / "p.html").exit_code == 0


def test_wrong_usage(invoke, tmp_path):
    assert invoke("report").exit_code == 2
    assert invoke("report", "a", "--output", tmp_path).exit_code == 2
