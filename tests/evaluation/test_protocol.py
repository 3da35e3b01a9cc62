"""The protocol: rows under one recipe, results cached in a journal, n, mean and deviation."""

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ncfm_hub.errors import Diverged
from ncfm_hub.evaluation.baselines import random_images
from ncfm_hub.evaluation.batches import TrainingSet, one_hot
from ncfm_hub.evaluation.protocol import Row, measure, summarise
from ncfm_hub.evaluation.students import StudentPlan, StudentResult, Students
from ncfm_hub.networks.build import Architecture, channel_statistics
from ncfm_hub.recipes.schema import updates_of
from ncfm_hub.sources.types import ImageSet
from tests.damage import Notes, flip_digit
from tests.matching.tiny import plain_engine, tiny_source

pytestmark = pytest.mark.slow  # whole runs

SOURCE = tiny_source(per_class=10)
ARCHITECTURE = Architecture("ncfm_convnet3", 3, 3, 16, *channel_statistics(SOURCE.train.images))
PLAN = StudentPlan(updates=3, batch_size=8, lr=2e-3, weight_decay=5e-4, schedule="fifths", cutmix=0.5, flip=False)


def row(name: str, count: int, labels: str = "hard") -> Row:
    classes = SOURCE.train.labels[:count]
    targets = one_hot(classes, 3) if labels == "hard" else 0.8 * one_hot(classes, 3) + 0.2 / 3
    return Row(name, labels, TrainingSet(SOURCE.train.images[:count], classes, targets), 3)


ROWS = [row("random", 6), row("distilled", 12), row("distilled", 12, "soft"), row("whole", 30)]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(images, updates) of every student trained."""
    found: list[tuple[int, int]] = []
    train_and_test = Students.train_and_test

    def listen(self: Students, training: TrainingSet, *rest: Any) -> StudentResult:
        counted = [0]
        fit = self.trainer.fit

        def count(batches: Any, *args: Any, **options: Any) -> None:
            def counting() -> Any:
                for batch in batches:
                    counted[0] += 1
                    assert len(batch[0]) == self.plan.batch_size
                    yield batch

            fit(counting(), *args, **options)

        self.trainer.fit = count  # type: ignore[method-assign]
        try:
            return train_and_test(self, training, *rest)
        finally:
            self.trainer.fit = fit  # type: ignore[method-assign]
            found.append((len(training.labels), counted[0]))

    monkeypatch.setattr(Students, "train_and_test", listen)
    return found


def test_every_row_has_the_same_updates_and_batches(trained: list[tuple[int, int]]) -> None:
    rows = measure(ROWS, SOURCE.test, Students(ARCHITECTURE, PLAN, plain_engine()), range(2), plain_engine())
    assert trained == [(count, 3) for count in (6, 6, 12, 12, 12, 12, 30, 30)]
    assert [(one["set"], one["labels"], one["images"]) for one in rows] == [
        ("random", "hard", 6),
        ("distilled", "hard", 12),
        ("distilled", "soft", 12),
        ("whole", "hard", 30),
    ]
    for one in rows:
        assert one["stored_images"] == 3
        assert one["seconds"] > 0
        for key in ("accuracy", "train_accuracy"):
            assert one[key]["n"] == len(one[key]["values"]) == 2
            assert all(0 <= value <= 100 for value in one[key]["values"])
    json.dumps(rows)


def test_kept_students_are_not_trained_again(trained: list[tuple[int, int]], tmp_path: Path) -> None:
    students, engine = Students(ARCHITECTURE, PLAN, plain_engine()), plain_engine()
    first = measure(ROWS[:2], SOURCE.test, students, range(2), engine, tmp_path)
    assert len(trained) == 4
    kept = sorted(tmp_path.rglob("*-1.json"))
    assert len(kept) == 2
    kept[0].unlink()  # as if stopped before a second student
    second = measure(ROWS[:2], SOURCE.test, students, range(2), engine, tmp_path)
    assert len(trained) == 5
    assert [one["accuracy"] for one in second] == [one["accuracy"] for one in first]
    third = measure(ROWS[:3], SOURCE.test, students, range(3), engine, tmp_path)
    assert len(trained) == 5 + 2 + 3  # a third student of two rows, three of the new one
    assert third[0]["accuracy"]["values"][:2] == first[0]["accuracy"]["values"]


def test_a_student_is_known_by_what_it_was_trained_on_not_by_the_name_of_a_row(
    trained: list[tuple[int, int]], tmp_path: Path
) -> None:
    students, engine = Students(ARCHITECTURE, PLAN, plain_engine()), plain_engine()
    first = measure(ROWS[:1], SOURCE.test, students, range(1), engine, tmp_path)
    renamed = replace(ROWS[0], name="coreset", stored_images=6)
    (found,) = measure([renamed], SOURCE.test, students, range(1), engine, tmp_path)
    assert (found["set"], found["stored_images"]) == ("coreset", 6)
    assert found["accuracy"] == first[0]["accuracy"]
    assert len(trained) == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"condition": "other"}', None])
def test_a_damaged_journal_is_measured_over(trained: list[tuple[int, int]], tmp_path: Path, damage: str | None) -> None:
    """None: a file of another version, without one of the figures."""
    students, engine = Students(ARCHITECTURE, PLAN, plain_engine()), plain_engine()
    first = measure(ROWS[:1], SOURCE.test, students, range(1), engine, tmp_path)
    (kept,) = tmp_path.rglob("*.json")
    if damage is None:
        content = json.loads(kept.read_text())
        del content["per_class"]
        damage = json.dumps(content)
    kept.write_text(damage)
    second = measure(ROWS[:1], SOURCE.test, students, range(1), engine, tmp_path)
    assert len(trained) == 2
    assert second[0]["accuracy"] == first[0]["accuracy"]
    assert json.loads(kept.read_text())["accuracy"] == pytest.approx(first[0]["accuracy"]["values"][0], abs=0.006)


def test_a_wrong_digit_in_a_kept_accuracy_is_found_and_said(trained: list[tuple[int, int]], tmp_path: Path) -> None:
    students, engine, notes = Students(ARCHITECTURE, PLAN, plain_engine()), plain_engine(), Notes()
    first = measure(ROWS[:1], SOURCE.test, students, range(1), engine, tmp_path)
    (kept,) = tmp_path.rglob("*.json")
    flip_digit(kept, '"accuracy"')
    second = measure(ROWS[:1], SOURCE.test, students, range(1), engine, tmp_path, notes)
    assert len(trained) == 2
    assert second[0]["accuracy"] == first[0]["accuracy"]
    assert notes.said == [
        f"{kept}, the result of a student, is damaged (its content is not what was written); it is trained anew"
    ]


def test_what_is_asked_for_again_is_trained_again(trained: list[tuple[int, int]], tmp_path: Path) -> None:
    students, engine = Students(ARCHITECTURE, PLAN, plain_engine()), plain_engine()
    for again in (False, True, False):
        measure(ROWS[:1], SOURCE.test, students, range(1), engine, tmp_path, again=again)
    assert len(trained) == 2


def test_accuracies_of_classes_make_up_the_accuracy() -> None:
    """Classes of 2, 3 and no test images: the mean weighted by their number, and nothing for the third."""
    few = ImageSet(SOURCE.test.images[:5], torch.tensor([0, 1, 1, 0, 1]))
    students = Students(ARCHITECTURE, PLAN, plain_engine())
    (found,) = measure(ROWS[3:], few, students, range(1), plain_engine())
    first, second, third = found["per_class"]
    assert third is None
    assert found["accuracy"]["mean"] == pytest.approx((2 * first + 3 * second) / 5, abs=0.02)


@pytest.mark.parametrize("change", ["plan", "images", "targets", "test", "architecture", "precision"])
def test_a_student_of_other_conditions_is_trained_again(
    trained: list[tuple[int, int]], tmp_path: Path, change: str
) -> None:
    engine = plain_engine()
    measure(ROWS[1:2], SOURCE.test, Students(ARCHITECTURE, PLAN, engine), range(1), engine, tmp_path)
    plan, architecture, test, one = PLAN, ARCHITECTURE, SOURCE.test, ROWS[1]
    if change == "plan":
        plan = replace(PLAN, lr=1e-3)
    elif change == "images":
        other = one.training.images.clone()
        other[-1, -1, -1, -1] ^= 1
        one = replace(one, training=replace(one.training, images=other))
    elif change == "targets":
        one = replace(one, training=replace(one.training, targets=one.training.targets * 0.9))
    elif change == "test":
        test = replace(test, labels=test.labels.roll(1))
    elif change == "architecture":
        architecture = replace(architecture, mean=(0.4, 0.4, 0.4))
    else:
        engine = replace(engine, precision="bf16")
    measure([one], test, Students(architecture, plan, engine), range(1), engine, tmp_path)
    assert len(trained) == 2


def test_where_a_student_of_another_process_diverged_all_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """After they have met: a process that went on alone would take another table's students for its own."""
    engine = plain_engine()
    monkeypatch.setattr(type(engine.accelerator), "num_processes", 2)
    met: list[Any] = []

    def gather(mine: list[Any]) -> list[Any]:
        met.extend(mine)
        return [*mine, ({}, "a student has weights that are not finite")]

    monkeypatch.setattr("accelerate.utils.gather_object", gather)
    with pytest.raises(Diverged, match="a student has weights that are not finite"):
        measure(ROWS[:2], SOURCE.test, Students(ARCHITECTURE, PLAN, engine), range(1), engine)
    ((done, problem),) = met
    assert (list(done), problem) == ([(("random", "hard"), 0)], None)
    met.clear()
    wild = Students(ARCHITECTURE, replace(PLAN, lr=1e30, cutmix=0.0), engine)
    with pytest.raises(Diverged, match="rate 1e"):
        measure(ROWS[:2], SOURCE.test, wild, range(1), engine)
    assert met[0][0] == {}
    assert "not finite" in met[0][1]


def test_summaries_have_the_sample_standard_deviation() -> None:
    values = [60.123, 61.5, 59.25]
    found = summarise(values)
    assert found["n"] == 3
    assert found["mean"] == pytest.approx(statistics.mean(values), abs=0.006)
    spread = sum((value - statistics.mean(values)) ** 2 for value in values) / 2
    assert found["std"] == pytest.approx(spread**0.5, abs=0.006)
    assert found["values"] == [60.12, 61.5, 59.25]
    assert summarise([50.0]) == {"n": 1, "mean": 50.0, "std": None, "values": [50.0]}


def test_updates_are_given_or_follow_from_epochs_of_the_distilled_set() -> None:
    assert updates_of(1200, None, 400, 100) == 1200
    assert updates_of(None, 2000, 400, 128) == 2000 * 4
    assert updates_of(1200, 2000, 400, 128) == 1200
    with pytest.raises(ValueError, match="updates or of epochs"):
        updates_of(None, None, 400, 128)


def test_random_images_are_of_every_class_without_repetition_and_of_their_seed() -> None:
    found = random_images(SOURCE, 4, seed=0)
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.images.shape == (12, 3, 16, 16)
    assert len(torch.unique(found.images.flatten(1), dim=0)) == 12
    flat = SOURCE.train.images.flatten(1)
    for image, label in zip(found.images, found.labels, strict=True):
        place = (flat == image.flatten()).all(1).nonzero()[0, 0]
        assert SOURCE.train.labels[place] == label
    assert not torch.equal(random_images(SOURCE, 4, seed=1).images, found.images)
    assert torch.equal(random_images(SOURCE, 4, seed=0).images, found.images)
    assert random_images(SOURCE, 15, seed=0).labels.tolist() == [0] * 15 + [1] * 15 + [2] * 15
