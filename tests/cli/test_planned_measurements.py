"""`--dry-run` of evaluate, continual and nas: counts, files and errors of the real thing, and nothing is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ncfm_hub.evaluation import evaluate as evaluating
from ncfm_hub.evaluation.continual import study as continual
from ncfm_hub.evaluation.opening import SubjectOptions
from ncfm_hub.evaluation.protocol import student_journal
from ncfm_hub.evaluation.search import study as search
from ncfm_hub.evaluation.students import Students
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.evaluation.table import evaluate_subject
from ncfm_hub.recipes.resolve import change_evaluation
from ncfm_hub.utils.progress import Silent
from tests.evaluation.tiny_subject import tiny_subject
from tests.matching.tiny import tiny_pool

Invoke = Callable[..., Result]
SUBJECT = tiny_subject(size=16)
NARROW = "convnet-d1-w32-instance-relu-avg"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Small students, which are counted."""
    architecture, found = Subject.architecture, []
    monkeypatch.setattr(Subject, "architecture", lambda self, name=NARROW: architecture(self, name))
    monkeypatch.setattr(Subject, "extractors", lambda self, progress=None: tiny_pool(SUBJECT.source, name=NARROW))
    train = Students.train_and_test

    def counted(self: Students, *given: Any, **more: Any) -> Any:
        found.append(self.architecture.name)
        return train(self, *given, **more)

    monkeypatch.setattr(Students, "train_and_test", counted)
    return found


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tiny subject is opened, whatever is named, with the settings that are asked for."""

    def settled(target: str, options: SubjectOptions, progress: Any = None) -> Subject:
        recipe = change_evaluation(SUBJECT.recipe, options.preset, options.overrides)
        return Subject(**{**vars(SUBJECT), "recipe": recipe})

    for module in (evaluating, continual, search):
        monkeypatch.setattr(module, "open_subject", settled)
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_an_evaluation_counts_the_students_that_it_trains(trained: list[str]) -> None:
    overrides = {
        "evaluation.students": 2,
        "evaluation.baselines": ["random", "herding", "start", "whole"],
        "evaluation.architectures": ["convnet-d1-w32-none-relu-none"],
    }
    options = SubjectOptions(overrides=overrides)
    (plan,) = evaluating.plan_evaluation(["x"], options, with_ranking=False, update=False, progress=Silent())
    assert trained == []
    assert plan.writes == ()
    assert plan.lines()[-1] == "writes     nothing (no --update)"
    subject = evaluating.open_subject("x", options)
    evaluate_subject(subject, False, student_journal(), Silent())
    assert plan.students == len(trained) == 2 * 7 * 2


def test_a_continual_study_counts_the_students_that_it_trains(trained: list[str], tmp_path: Path) -> None:
    asked: dict[str, Any] = {"steps": 2, "orders": 2, "memories": ("distilled", "random"), "labels": "hard", "seed": 0}
    plan = continual.plan_continual("sets/tiny", **asked, output=None, options=SubjectOptions(), progress=Silent())
    assert trained == []
    made = continual.continual("sets/tiny", **asked)
    assert plan.students == len(trained) == 8
    assert set(plan.writes) == set(made.folder.iterdir())


def test_a_search_counts_the_students_that_it_trains(trained: list[str], invoke: Invoke, tmp_path: Path) -> None:
    names = "convnet-d1-w8-instance-relu-avg,convnet-d1-w8-none-relu-none,convnet-d9-w8-none-relu-max"
    words = ("nas", "tiny", "--architectures", names, "--proxy-updates", 1, "--whole-updates", 1, "--students", 2)
    planned = invoke(*words, "--dry-run", "--format", "json")
    assert planned.exit_code == 0, planned.stderr
    assert trained == []
    assert not (tmp_path / "tiny-nas").exists()
    (plan,) = json.loads(planned.stdout)
    assert plan["students"] == 2 * 2 * 3
    assert {Path(name).name for name in plan["writes"]} == {"nas.json", "nas.md", "nas.png"}


def test_the_commands_print_plans_and_write_nothing(trained: list[str], invoke: Invoke, tmp_path: Path) -> None:
    for words in (("evaluate", "a", "b", "--students", "3"), ("continual", "a"), ("nas", "a", "--sample", "2")):
        result = invoke(*words, "--dry-run")
        assert result.exit_code == 0, result.stderr
        headings = [line.split()[0] for line in result.stdout.splitlines() if line]
        assert headings == ["dataset", "tested", "students", "estimate", "writes"] * (
            2 if words[0] == "evaluate" else 1
        )
        assert result.stderr.splitlines()[-1] == "dry run: nothing was written"
    assert trained == []
    assert [path for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_errors_come_before_the_plan(invoke: Invoke) -> None:
    assert "9" in invoke("continual", "a", "--steps", "9", "--dry-run").stderr
    refused = invoke("evaluate", "a", "--update", "--dry-run")
    assert "is not a distilled dataset folder, so it has no card to update" in refused.stderr
    assert refused.exit_code == 1
