"""`ncfm-hub distill`: flags to overrides, the estimate, the result in three formats, failures."""

import json

import click
import pytest

from ncfm_hub.errors import PublishError, ReplaceNeeded, SourceError
from ncfm_hub.utils.commit_options import CommitOptions

BASE = ("distill", "--dataset", "cifar10", "--ipc", "10")
OF_BASE = {"distillation.ipc": 10}


def test_every_recipe_flag_becomes_its_dotted_override(invoke, library):
    result = invoke(
        *BASE, "--seed", "3", "--config", "plain", "--revision", "main", "--image-column", "img", "--label-column", "y",
        "--skip-damaged", "--train-split", "tr", "--test-split", "te", "--classes", "cat, 3,dog", "--resolution", "64",
        "--backbone", "resnet18", "--pretrained", "hf-hub:a/b", "--steps", "7", "--calibration", "5",
        "--no-sampling-network", "--students", "0", "--set", "distillation.lr=2e-2", "--set", "source.classes=[1, a]",
        "--baselines", "random, whole",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert library.call("plan")["overrides"] == OF_BASE | {
        "distillation.seed": 3,
        "source.config": "plain",
        "source.revision": "main",
        "source.image_column": "img",
        "source.label_column": "y",
        "source.skip_damaged": True,
        "source.train_split": "tr",
        "source.test_split": "te",
        "source.classes": [1, "a"],  # --set came later than --classes
        "source.resolution": 64,
        "pool.backbone": "resnet18",
        "pool.pretrained": "hf-hub:a/b",
        "distillation.steps": 7,
        "distillation.calibration": 5.0,
        "distillation.sampling_network": False,
        "distillation.lr": 0.02,
        "evaluation.students": 0,
        "evaluation.baselines": ["random", "whole"],
    }


def test_classes_are_names_or_indices(invoke, library):
    invoke(*BASE, "--classes", "cat, 3,dog house")
    assert library.call("plan")["overrides"] == OF_BASE | {"source.classes": ["cat", "3", "dog house"]}


def test_the_bare_command_overrides_nothing_and_carries_out_what_it_planned(invoke, library):
    assert invoke(*BASE).exit_code == 0
    done = library.call("carry_out")
    assert done.pop("progress") is not None
    assert done == {"token": None, "resume": False, "restart": False, "replace": False}
    assert library.call("plan") == {
        "dataset": "cifar10",
        "preset": None,
        "overrides": OF_BASE,
        "output": None,
        "name": None,
        "default": None,
        "push": False,
        "repo_id": None,
        "private": False,
        "replace": False,
        "commit": CommitOptions(),
        "token": None,
        "pool": None,
        "append": None,
        "validation": False,
    }


def test_dry_run_prints_the_plan_and_starts_nothing(invoke, library):
    people = invoke(*BASE, "--dry-run")
    assert (people.exit_code, people.stdout) == (0, "source  cifar10\nclasses 10\n")
    script = invoke(*BASE, "--dry-run", "--format", "json")
    assert json.loads(script.stdout) == {"pipeline": "cifar10", "cost": {"total_minutes": 12.0}, "no_cost": None}
    assert [name for name, _, _ in library.calls] == ["plan", "plan"]


def test_the_result_for_people_is_table_and_places(invoke, library):
    out = invoke(*BASE, "--push").stdout
    assert "63.4 ± 0.3 (n=2)" in out
    assert "39.6 (n=1)" in out  # no deviation of one student
    assert f"contact sheet  {library.folder / 'ipc10' / 'preview.png'}" in out
    assert "repository     http://hub/datasets/ada/x" in out


def test_the_result_for_scripts_is_one_json_object_or_the_folder(invoke, library):
    result = invoke(*BASE, "--push", "--format", "json")
    data = json.loads(result.stdout)
    assert (data["folder"], data["name"]) == (str(library.folder), "ipc10")
    assert data["repo"] == {
        **{"repo_id": "ada/x", "url": "http://hub/datasets/ada/x", "revision": "f" * 40},
        **{"branch": "main", "tag": None, "pull_request": None},
    }
    assert data["results"]["rows"][1]["accuracy"]["mean"] == 63.44
    quiet = invoke(*BASE, "-q")
    assert (quiet.stdout, quiet.stderr) == (f"{library.folder}\n", "")


@pytest.mark.parametrize(("minutes", "said"), [(None, False), (120.0, False), (121.0, True), (1500.0, True)])
def test_more_than_two_hours_is_said_before_anything_starts(invoke, library, minutes, said):
    library.minutes = minutes
    result = invoke(*BASE)
    assert result.exit_code == 0  # no terminal: it goes on
    assert ("To shorten it: --preset cpu, --steps N" in result.stderr) is said
    assert ("The run time is unknown: nobody has timed it" in result.stderr) is (minutes is None)
    assert ("25 h 00 min" in result.stderr) is (minutes == 1500.0)


def test_a_person_may_decline_a_long_run(invoke, library, monkeypatch):
    asked = []

    def decline(out, question):
        asked.append(question)
        raise click.Abort

    monkeypatch.setattr("ncfm_hub.cli._output.Output.confirm", decline)
    library.minutes = 300.0
    assert invoke(*BASE).exit_code == 1
    assert [name for name, _, _ in library.calls] == ["plan"]
    assert invoke(*BASE, "-y").exit_code == 0
    assert len(asked) == 1


@pytest.mark.parametrize("step", ["plan", "carry_out"])
def test_what_would_be_replaced_is_asked_and_yes_answers(invoke, library, monkeypatch, step):
    """The repository is looked at before the work, the folder as it begins."""
    given, go_on = [], getattr(library, step)

    def refuse(*args, **kwargs):
        given.append(kwargs["replace"])
        if not kwargs["replace"]:
            raise ReplaceNeeded("'out' holds ipc10 already")
        return go_on(*args, **kwargs)

    monkeypatch.setattr(library, step, refuse)
    refused = invoke(*BASE)
    assert (refused.exit_code, refused.stderr.splitlines()[-1]) == (1, "Error: 'out' holds ipc10 already")
    agreed = invoke(*BASE, "-y")
    assert agreed.exit_code == 0
    assert "'out' holds ipc10 already" in agreed.stderr
    assert invoke(*BASE, "--replace").exit_code == 0
    assert given == [False, False, True, True]
    monkeypatch.setattr("ncfm_hub.cli._output.Output.allows", lambda out, question: "Replace it?" in question)
    assert invoke(*BASE).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["distill", "--ipc", "10"],
        ["distill", "--dataset", "cifar10", "--ipc", "0"],
        ["distill", "--dataset", "cifar10", "--ipc", "many"],
        [*BASE, "--preset", "tpu"],
        [*BASE, "--classes", "a,,b"],
        [*BASE, "--set", "distillation.steps"],
        [*BASE, "--set", "distillation.steps=[1"],
        [*BASE, "--repo-id", "ada/x"],
        [*BASE, "--quiet", "--format", "json"],
        [*BASE, "--nothing"],
        [*BASE, "--resume", "--restart"],
        [*BASE, "--validation", "--test-split", "te"],
    ],
)
def test_wrong_usage_is_exit_2_and_calls_nothing(invoke, library, arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr
    assert library.calls == []


def test_a_known_error_is_one_line(invoke, library):
    library.failure = SourceError("owner/gone: no such dataset;\n  `hf auth login` if it is private")
    result = invoke(*BASE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: owner/gone: no such dataset; `hf auth login` if it is private\n"


def test_a_failed_push_says_where_the_result_is_and_how_to_retry(invoke, library):
    library.failure = PublishError("the Hub did not answer; the result is in runs/x; retry: ncfm-hub push runs/x")
    result = invoke(*BASE, "--push")
    assert result.exit_code == 1
    assert result.stderr.endswith("retry: ncfm-hub push runs/x\n")


def test_an_interrupt_exits_130_and_says_how_to_go_on(invoke, library):
    library.failure = KeyboardInterrupt()
    result = invoke(*BASE)
    assert result.exit_code == 130
    again = "ncfm-hub distill --dataset cifar10 --ipc 10 --resume"
    assert result.stderr == f"Error: interrupted; resume from the last checkpoint with: {again}\n"


def test_only_the_first_of_several_processes_prints(invoke, library, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    library.minutes = 300.0
    result = invoke(*BASE)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert library.call("plan")["overrides"] == OF_BASE


@pytest.mark.parametrize("setting", [("--backbone", "resnet18"), ("--pretrained", "x"), ("--set", "pool.size=2")])
@pytest.mark.parametrize("command", [BASE, ("evaluate", "runs/x"), ("continual", "runs/x")])
def test_values_of_the_pool_beside_extractors_that_are_there_are_refused(invoke, library, command, setting):
    if command != BASE and setting[0] != "--set":
        setting = ("--set", f"pool.{setting[0].removeprefix('--')}={setting[1]}")
    result = invoke(*command, "--pool", "me/pool", *setting)
    assert result.exit_code == 2
    assert "has no effect with --pool me/pool" in result.stderr
    assert library.calls == []


def test_none_in_place_of_a_pool_goes_with_settings_of_its_training(invoke, library):
    assert invoke(*BASE, "--pool", "none", "--set", "pool.size=2").exit_code == 0
    assert library.call("plan")["pool"] == "none"
    assert library.call("plan")["overrides"] == OF_BASE | {"pool.size": 2}
    result = invoke(*BASE, "--pool", "none", "--set", "pool.use=me/pool")
    assert result.exit_code == 2
    assert "pool.use has no effect with --pool none; leave out one of the two" in result.stderr
