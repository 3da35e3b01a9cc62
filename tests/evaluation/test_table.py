"""The results table: which rows it has and what they contain, for several architectures, without augmentation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ncfm_hub.distillation.loop import distill_images
from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.errors import PoolError
from ncfm_hub.evaluation import table
from ncfm_hub.evaluation.protocol import Row
from ncfm_hub.evaluation.ranking import ranking
from ncfm_hub.evaluation.students import Students
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.evaluation.table import evaluate_subject, match_means
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.extractors.soft_labels import soft_labels
from ncfm_hub.publishing import decode_stored, to_pixels
from ncfm_hub.utils.progress import Silent
from tests.evaluation.tiny_subject import tiny_subject
from tests.matching.tiny import tiny_pool

pytestmark = pytest.mark.slow  # whole runs


def subject(**changes: Any) -> Subject:
    """Three classes, a pool of fresh networks, two steps of distillation, two students."""
    made = tiny_subject(classes=3, size=16)
    recipe = made.recipe
    evaluation = recipe.evaluation.model_copy(update={"students": 2, "baselines": ["random"]} | changes)
    few = recipe.distillation.model_copy(update={"steps": 2, "frequencies": 16, "real_batch": 4})
    recipe = recipe.model_copy(update={"evaluation": evaluation, "distillation": few})
    return replace(made, recipe=recipe, pool=tiny_pool(made.source))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Students, list[Row]]]:
    """The students and rows of each table, which still is measured."""
    found: list[tuple[Students, list[Row]]] = []
    measure = table.measure

    def listen(rows: list[Row], test: Any, students: Students, *rest: Any) -> Any:
        found.append((students, rows))
        return measure(rows, test, students, *rest)

    monkeypatch.setattr(table, "measure", listen)
    return found


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))


def test_rows_stand_in_one_order_however_they_are_asked_for(given: list[tuple[Students, list[Row]]]) -> None:
    names = ["whole", "dm", "el2n", "start", "random", "k-center", "herding"]
    result = evaluate_subject(subject(baselines=names), False, None, Silent())
    assert [(row["set"], row["labels"]) for row in result["rows"]] == [
        ("random", "hard"),
        ("random", "soft"),
        ("herding", "hard"),
        ("k-center", "hard"),
        ("el2n", "hard"),
        ("start", "hard"),
        ("dm", "hard"),
        ("distilled", "hard"),
        ("distilled", "soft"),
        ("whole", "hard"),
    ]
    # Two stored images a class: tilings of 2 x 2 where there are tilings, all 6 of the whole class.
    images = [row["images"] for row in result["rows"]]
    assert images == [6, 6, 6, 6, 6, 24, 24, 24, 24, 18]
    assert [row["stored_images"] for row in result["rows"]] == [6] * 9 + [18]
    assert {row["accuracy"]["n"] for row in result["rows"]} == {2}
    assert "cross_architecture" not in result
    assert "ranking" not in result


def test_random_images_get_the_soft_labels_of_the_same_teachers(given: list[tuple[Students, list[Row]]]) -> None:
    it = subject()
    evaluate_subject(it, False, None, Silent())
    ((_, rows),) = given
    hard, soft = rows[:2]
    assert torch.equal(hard.training.images, soft.training.images)
    assert it.pool is not None
    assert torch.equal(soft.training.targets, soft_labels(soft.training.images, it.pool, it.engine))


def test_teachers_are_not_trained_for_random_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Notes(Silent):
        def note(self, message: str) -> None:
            said.append(message)

    absent = replace(subject(), pool=None)
    result = evaluate_subject(absent, False, None, Notes())
    assert [(row["set"], row["labels"]) for row in result["rows"]] == [
        ("random", "hard"),
        ("distilled", "hard"),
        ("distilled", "soft"),
    ]
    assert any("no extractor pool here" in line for line in said)
    elsewhere = replace(absent, place="/nowhere/pool")
    assert not elsewhere.has_extractors()
    asked: list[str] = []

    def train(it: Subject, progress: Any = None) -> Pool:
        asked.append("trained")
        return tiny_pool(it.source)

    monkeypatch.setattr(Subject, "extractors", train)
    evaluate_subject(absent, True, None, Silent())
    evaluate_subject(replace(subject(baselines=["herding"]), pool=None), False, None, Silent())
    assert asked == ["trained"] * 2


def test_without_soft_labels_there_is_no_row_of_them() -> None:
    for it in (subject(soft_labels=False), replace(subject(), soft_labels=None)):
        assert [row["labels"] for row in evaluate_subject(it, False, None, Silent())["rows"]] == ["hard", "hard"]


def test_a_set_that_began_as_no_tiling_has_no_start() -> None:
    said: list[str] = []

    class Notes(Silent):
        def note(self, message: str) -> None:
            said.append(message)

    result = evaluate_subject(replace(subject(baselines=["start"]), factor=None), False, None, Notes())
    assert {row["set"] for row in result["rows"]} == {"distilled"}
    assert any("its initialisation is unknown and is left out" in line for line in said)


def test_distribution_matching_starts_alike_and_matches_means_alone() -> None:
    it = subject()
    assert it.pool is not None
    values = it.recipe.distillation.model_copy(
        update={"matching": "mean", "calibration": 0.0, "sampling_network": False, "ipc": it.ipc}
    )
    settings = settings_of(values, it.source.info, it.recipe.source.flip, "cpu")
    expected = decode_stored(to_pixels(distill_images(it.source, it.pool, settings, it.engine).stored), 2)
    found = match_means(it, it.pool, Silent())
    assert torch.equal(found.images, expected)
    assert torch.equal(found.labels, it.labels)
    start = it.start()
    assert start is not None
    assert not torch.equal(found.images, start.images)


def test_an_unfinished_distribution_matching_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    it = subject()
    assert it.pool is not None
    first = match_means(it, it.pool, Silent())
    monkeypatch.setattr(
        "ncfm_hub.distillation.distiller.Distiller.step", lambda *_: pytest.fail("a step was taken again")
    )
    assert torch.equal(match_means(it, it.pool, Silent()).images, first.images)


def test_distribution_matching_by_other_weights_under_the_same_key_is_another() -> None:
    it = subject()
    assert it.pool is not None
    first = match_means(it, it.pool, Silent())
    changed = [tuple({name: 0.9 * value for name, value in one.items()} for one in pair) for pair in it.pool.members]
    other = replace(it.pool, members=changed)
    assert other.key == it.pool.key
    assert not torch.equal(match_means(it, other, Silent()).images, first.images)


def test_rows_name_the_extractors_that_had_a_part_in_them() -> None:
    it = subject(baselines=["random", "herding", "start", "dm", "whole"])
    assert it.pool is not None
    digest = it.pool.digest
    found = evaluate_subject(it, False, None, Silent())["rows"]
    named = {(row["set"], row["labels"]) for row in found if "extractors" in row}
    assert named == {("random", "soft"), ("herding", "hard"), ("dm", "hard")}
    assert {row["extractors"] for row in found if "extractors" in row} == {digest}


def test_extractors_in_a_folder_of_its_maker_are_no_repository_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("asked a Hub"))
    absent = replace(subject(), pool=None, place=Path("runs/pool"))
    assert not absent.has_extractors()
    with pytest.raises(PoolError, match="in 'runs/pool', which is not here; name a pool with --pool"):
        absent.extractors()


def test_each_architecture_measures_the_same_rows(given: list[tuple[Students, list[Row]]]) -> None:
    it = subject(architectures=["convnet-d2-w32-instance-relu-avg", "resnet10t"])
    result = evaluate_subject(it, False, None, Silent())
    rows = result["cross_architecture"]
    keys = [("random", "hard"), ("random", "soft"), ("distilled", "hard"), ("distilled", "soft")]
    assert [(row["student"], row["set"], row["labels"]) for row in rows] == [
        (student, *key)
        for student in ("ncfm_convnet3", "convnet-d2-w32-instance-relu-avg", "resnet10t")
        for key in keys
    ]
    assert [row["accuracy"] for row in rows[:4]] == [row["accuracy"] for row in result["rows"]]
    assert [students.architecture.name for students, _ in given] == [
        "ncfm_convnet3",
        "convnet-d2-w32-instance-relu-avg",
        "resnet10t",
    ]
    assert {students.plan for students, _ in given} == {it.plan()}
    assert result["protocol"]["student"] == "ncfm_convnet3"


def test_ranking_is_made_of_rows_with_and_without_augmentation(given: list[tuple[Students, list[Row]]]) -> None:
    it = subject(baselines=[])
    result = evaluate_subject(it, True, None, Silent())
    assert [(row["set"], row["labels"]) for row in result["rows"]][-1] == ("whole", "hard")
    (_, _), (students, pair) = given
    assert (students.plan.augment, students.plan.cutmix) == (False, 0.0)
    assert students.plan.updates == it.plan().updates
    assert sorted(row.key for row in pair) == [("distilled", "soft"), ("random", "soft")]
    values = {(row["set"], row["labels"]): row["accuracy"]["values"] for row in result["rows"]}
    plain = {row["set"]: row["accuracy"]["values"] for row in result["ranking"]["without_augmentation"]}
    expected = ranking(
        values["whole", "hard"],
        values["distilled", "hard"],
        values["distilled", "soft"],
        values["random", "soft"],
        plain["distilled"],
        plain["random"],
    )
    assert {name: result["ranking"][name] for name in expected} == expected
    assert result["ranking"]["labels"] == "soft"


def test_ranking_of_a_set_with_hard_labels_compares_hard_ones(given: list[tuple[Students, list[Row]]]) -> None:
    result = evaluate_subject(replace(subject(), soft_labels=None), True, None, Silent())
    assert sorted(row.key for row in given[1][1]) == [("distilled", "hard"), ("random", "hard")]
    assert result["ranking"]["labels"] == "hard"


def test_no_students_measure_nothing() -> None:
    result = evaluate_subject(subject(students=0), True, None, Silent())
    assert result["rows"] == []
    assert result["protocol"]["students"] == 0
