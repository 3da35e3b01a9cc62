"""`--dry-run` of commands that write files: the same result, and nothing is written."""

from pathlib import Path

import pytest

from ncfm_hub.utils.commit_options import CommitOptions
from tests.publishing.noise_sets import noise_set, write_folder

NOTHING = "dry run: nothing was written"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "set", noise_set(), class_ids=[0, 1, 2])


@pytest.mark.parametrize(
    "command",
    [
        ("preview", "{set}", "--out", "{new}/sheet.png"),
        ("report", "{set}", "--no-start", "--output", "{new}/p.html"),
        ("export", "{set}", "--to", "dc-bench", "--output", "{new}"),
        ("pipelines", "copy", "digits", "{new}/mine.yaml"),
    ],
    ids=lambda command: command[0],
)
def test_the_result_is_named_and_nothing_is_written(invoke, folder, tmp_path, command):
    arguments = [word.format(set=folder, new=tmp_path / "new") for word in command]
    rehearsed = invoke(*arguments, "--dry-run")
    assert rehearsed.exit_code == 0, rehearsed.stderr
    assert rehearsed.stderr.splitlines()[-1] == NOTHING
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    made = invoke(*arguments)
    assert (made.stdout, made.exit_code) == (rehearsed.stdout, 0)
    assert NOTHING not in made.stderr
    assert any((tmp_path / "new").iterdir())


def test_a_file_that_would_be_in_the_way_is_said(invoke, folder, tmp_path):
    taken = tmp_path / "mine.yaml"
    taken.write_text("mine")
    assert "exists; overwrite it with --force" in invoke("pipelines", "copy", "digits", taken, "--dry-run").stderr
    assert "so it stays" in invoke("report", folder, "--no-start", "--output", taken, "--dry-run").stderr
    assert "is not empty" in invoke("export", folder, "--to", "dc-bench", "--output", folder, "--dry-run").stderr


def test_the_plan_of_a_pool_trains_nothing(invoke, library):
    result = invoke("pretrain", "--dataset", "cifar10", "--push", "--tag", "v1", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "estimate   3.0 min\n")
    assert [name for name, _, _ in library.calls] == ["plan_pool"]
    given = library.call("plan_pool")
    assert (given["push"], given["commit"]) == (True, CommitOptions(tag="v1"))


@pytest.mark.parametrize("option", [("--tag", "v1"), ("--create-pr",), ("--branch", "x"), ("--commit-message", "x")])
@pytest.mark.parametrize("command", [("distill", "--ipc", "1"), ("pretrain",)])
def test_options_of_a_push_need_a_push(invoke, library, command, option):
    result = invoke(*command, "--dataset", "cifar10", *option)
    assert result.exit_code == 2
    assert f"{option[0]} has no effect without --push" in result.stderr
    assert library.calls == []


def test_the_options_of_a_push_reach_the_plan(invoke, library):
    words = ("--create-pr", "--commit-message", "two words")
    assert invoke("distill", "--dataset", "cifar10", "--ipc", "1", "--push", *words).exit_code == 0
    assert library.call("plan")["commit"] == CommitOptions("two words", create_pr=True)
