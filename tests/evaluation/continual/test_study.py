"""The class-incremental study: equal storage and updates, paired comparisons, all values stored, resumable."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.continual import study as library
from ncfm_hub.evaluation.continual.memories import MEMORIES
from ncfm_hub.evaluation.continual.results import paired
from ncfm_hub.evaluation.continual.study import class_incremental, continual
from ncfm_hub.evaluation.continual.table import table_lines
from ncfm_hub.evaluation.students import StudentResult, Students
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.extractors.soft_labels import soft_labels
from ncfm_hub.publishing.dataset.dataset import images_digest
from ncfm_hub.utils.progress import Silent
from tests.evaluation.tiny_subject import UPDATES, tiny_subject
from tests.matching.tiny import tiny_pool

pytestmark = pytest.mark.slow  # whole runs

SUBJECT = tiny_subject()
NARROW = "convnet-d1-w32-instance-relu-avg"
POOL = tiny_pool(SUBJECT.source, name=NARROW)


class Trained(list[dict[str, Any]]):
    """What each student was given; the next one fails once `stop_after` are trained."""

    stop_after: int | None = None


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Students that are small and recorded, and a pool that needs no training."""
    architecture = Subject.architecture
    monkeypatch.setattr(Subject, "architecture", lambda self: architecture(self, NARROW))
    monkeypatch.setattr(Subject, "extractors", lambda self, progress=None: POOL)
    found = Trained()
    train_and_test = Students.train_and_test

    def listen(
        self: Students, training: TrainingSet, images: torch.Tensor, labels: torch.Tensor, seed: int, bar: Any
    ) -> StudentResult:
        if len(found) == found.stop_after:
            raise KeyboardInterrupt
        made = {"classes": self.architecture.classes, "updates": self.plan.updates, "students": self}
        found.append(made | {"training": training, "test_labels": labels, "seed": seed})
        return train_and_test(self, training, images, labels, seed, bar)

    monkeypatch.setattr(Students, "train_and_test", listen)
    return found


def study(journal: Path | None, labels: str = "hard", progress: Any = None, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"subject": SUBJECT, "steps": 2, "orders": 2, "memories": MEMORIES, "seed": 0}
    return class_incremental(**values | changes, labels=labels, journal=journal, progress=progress or Silent())


def accuracies(results: dict[str, Any]) -> list[Any]:
    return [[step["accuracy"] for step in memory["steps"]] for memory in results["memories"]]


def test_memories_have_equal_stored_pixels_updates_seeds_and_tests(trained: Trained) -> None:
    results = study(None)
    orders = results["orders"]
    assert len(trained) == 2 * 2 * 3
    for number, one in enumerate(trained):
        step, rest = divmod(number, 6)
        order, memory = divmod(rest, 3)
        size = (3, 5)[step]
        assert (one["classes"], one["updates"], one["seed"]) == (size, UPDATES, orders[order]["seed"])
        counts = torch.bincount(one["training"].labels, minlength=size).tolist()
        assert counts == [8 if memory == 0 else 2] * size  # two stored images: eight decoded ones, or two real ones
        assert one["training"].images.shape[1:] == (3, 8, 8)
        assert torch.bincount(one["test_labels"], minlength=size).tolist() == [4] * size
    assert [memory["stored_per_class"] for memory in results["memories"]] == [2, 2, 2]
    assert [memory["images_per_class"] for memory in results["memories"]] == [8, 2, 2]


def test_students_are_made_once_for_each_number_of_classes(trained: Trained) -> None:
    study(None)
    assert len({id(one["students"]) for one in trained[:6]}) == len({id(one["students"]) for one in trained[6:]}) == 1


def test_real_memories_are_images_of_their_classes_and_random_ones_drawn_anew(trained: Trained) -> None:
    results = study(None, steps=1)
    train = SUBJECT.source.train
    flat = train.images.flatten(1)

    def places(student: dict[str, Any], order: dict[str, Any]) -> set[int]:
        found = set()
        for image, label in zip(student["training"].images, student["training"].labels.tolist(), strict=True):
            place = int((flat == image.flatten()).all(1).nonzero()[0, 0])
            assert train.labels[place] == order["classes"][label]
            found.add(place)
        return found

    of_orders = list(zip((trained[:3], trained[3:]), results["orders"], strict=True))
    random = [places(students[1], order) for students, order in of_orders]
    herding = [places(students[2], order) for students, order in of_orders]
    assert random[0] != random[1]
    assert herding[0] == herding[1]
    assert len(random[0]) == len(herding[0]) == 10


def test_soft_labels_of_real_images_are_those_of_the_extractors(trained: Trained) -> None:
    results = study(None, labels="soft", steps=2, orders=1)
    seen = list(results["orders"][0]["classes"][:3])
    for number, given in ((0, None), (1, POOL)):
        training = trained[number]["training"]
        if given is None:
            assert SUBJECT.soft_labels is not None
            every = torch.cat([SUBJECT.soft_labels[SUBJECT.labels == c] for c in range(5) if c in seen])
        else:
            every = soft_labels(training.images, given, SUBJECT.engine)
        expected = every[:, seen] / every[:, seen].sum(1, keepdim=True)
        torch.testing.assert_close(training.targets, expected, atol=1e-5, rtol=0)
    assert all(memory["labels"] == "soft" for memory in results["memories"])
    assert any("teacher that gave them has seen all classes" in note for note in results["protocol"]["notes"])
    assert "the distilled images were made with all classes at hand" in results["protocol"]["notes"]
    assert not any("teacher" in note for note in study(None, steps=1, orders=1)["protocol"]["notes"])


def test_a_study_without_extractors_needs_none(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "extractors", lambda self, progress=None: pytest.fail("asked for extractors"))
    results = study(None, memories=("distilled", "random"), steps=1, orders=1)
    assert [one["minus"] for one in results["differences"]] == ["random"]


def test_an_interrupted_study_goes_on_where_it_stopped(trained: Trained, tmp_path: Path) -> None:
    trained.stop_after = 7
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "stopped")
    trained.stop_after = None
    gone_on = study(tmp_path / "stopped")
    assert len(trained) == 12
    assert study(tmp_path / "stopped") == gone_on
    assert len(trained) == 12
    assert accuracies(study(tmp_path / "whole")) == accuracies(gone_on)
    assert len(trained) == 24
    more = study(tmp_path / "whole", orders=3)  # one further order, nothing else
    assert len(trained) == 24 + 6
    assert [
        values["values"][:2] for values in more["memories"][0]["steps"][0].values() if isinstance(values, dict)
    ] == [values["values"] for values in gone_on["memories"][0]["steps"][0].values() if isinstance(values, dict)]


def test_one_bar_counts_all_updates_also_those_of_kept_students(trained: Trained, tmp_path: Path) -> None:
    class Watching(Silent):
        def __init__(self) -> None:
            self.bars: list[list[Any]] = []

        @contextmanager
        def bar(self, total: int, what: str, done: int = 0) -> Iterator[Any]:
            mine = [what, total, done]
            self.bars.append(mine)

            class Counting:
                def advance(self, count: int = 1, **figures: Any) -> None:
                    mine[2] += count

            yield Counting()

    for _ in range(2):
        watching = Watching()
        study(tmp_path, progress=watching)
        assert [bar for bar in watching.bars if not bar[0].startswith("choosing")] == [
            ["continual learning", 12 * UPDATES, 12 * UPDATES]
        ]
    assert len(trained) == 12


def test_a_long_study_says_so_before_it_starts(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listening(Silent):
        def note(self, message: str) -> None:
            assert not trained
            said.append(message)

    said: list[str] = []
    for minutes in (119, 240):
        monkeypatch.setattr(
            library, "evaluate_minutes", lambda recipe, *_, a=minutes: a * recipe.evaluation.students / 2
        )
        trained.clear()
        study(None, steps=1, orders=1, memories=("distilled", "random"), progress=Listening())
    (line,) = said
    assert line.startswith("this takes about 4.0 hours on this machine; to shorten it: --orders N")


def test_every_value_is_in_the_file_and_the_figures_follow_from_them(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "open_subject", lambda *_: SUBJECT)
    found = continual("sets/tiny", steps=2, orders=3, seed=1, output=tmp_path / "out")
    assert found.results["images_sha256"] == images_digest(SUBJECT.images, SUBJECT.labels)
    results = json.loads((tmp_path / "out" / "continual.json").read_text(encoding="utf-8"))
    assert results == json.loads(json.dumps(found.results))
    assert [memory["memory"] for memory in results["memories"]] == ["distilled", "random", "herding"]
    table: dict[str, np.ndarray] = {}
    for memory in results["memories"]:
        values = np.array([step["accuracy"]["values"] for step in memory["steps"]])
        assert values.shape == (2, 3)
        assert np.array([step["train_accuracy"]["values"] for step in memory["steps"]]).shape == (2, 3)
        for step, of_step in zip(memory["steps"], values, strict=True):
            check(step["accuracy"], of_step)
        check(memory["average_incremental"], values.mean(0))
        table[memory["memory"]] = values
    for one in results["differences"]:
        gains = table["distilled"] - table[one["minus"]]
        for step, of_step in zip(one["steps"], gains, strict=True):
            check(step, of_step)
            assert step["standard_error"] == pytest.approx(of_step.std(ddof=1) / np.sqrt(3), abs=0.006)
        check(one["average_incremental"], gains.mean(0))
    assert results["protocol"]["chance"] == [33.33, 20.0]
    assert results["protocol"]["recipe"]["updates"] == UPDATES


def check(figure: dict[str, Any], values: np.ndarray) -> None:
    """Rounded to a hundredth."""
    assert figure["n"] == len(values)
    assert figure["values"] == pytest.approx(values.tolist(), abs=0.006)
    assert figure["mean"] == pytest.approx(values.mean(), abs=0.006)
    assert figure["std"] == pytest.approx(values.std(ddof=1), abs=0.006)


def test_what_is_not_known_of_a_set_is_not_said(trained: Trained) -> None:
    grown = study(None, steps=1, orders=1, subject=replace(SUBJECT, parts=2))["protocol"]["notes"]
    assert "the distilled images were made in 2 parts, each with the classes of its own at hand" in grown
    fewer = replace(SUBJECT, parts=None, images=SUBJECT.images[:-3], labels=SUBJECT.labels[:-3])
    theirs = study(None, steps=1, orders=1, subject=fewer, memories=["distilled", "random"])["protocol"]["notes"]
    assert "which classes were at hand when the distilled images were made is not known" in theirs
    assert "except distilled, which has from 5 to 8 images of a class" in theirs


def test_pairs_have_their_mean_standard_error_and_spread() -> None:
    first, second = [60.0, 70.5, 80.0, 65.25], [50.0, 64.5, 78.0, 68.25]  # 10, 6, 2, -3
    found = paired(first, second)
    assert found["values"] == [10.0, 6.0, 2.0, -3.0]
    assert found["mean"] == 3.75
    spread = (sum((value - 3.75) ** 2 for value in found["values"]) / 3) ** 0.5
    assert found["std"] == pytest.approx(spread, abs=0.006)
    assert found["standard_error"] == pytest.approx(spread / 2, abs=0.006)
    alone = paired([60.0], [50.0])
    assert (alone["mean"], alone["std"], alone["standard_error"]) == (10.0, None, None)


def test_the_table_and_the_plot_show_every_step(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "open_subject", lambda *_: replace(SUBJECT, name="sets/of $x$ and $"))
    found = continual("sets/tiny", steps=2, orders=2, output=tmp_path)
    lines = table_lines(found.results)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == ["classes seen", *MEMORIES, "chance", "distilled - random", "distilled - herding"]
    assert [row[0] for row in rows[2:]] == ["3", "5", "average"]
    assert len({len(line) for line in lines[:5]}) == 1
    step = found.results["memories"][1]["steps"][1]["accuracy"]
    assert rows[3][2] == f"{step['mean']:.1f} ± {step['std']:.1f}"
    gain = found.results["differences"][0]["steps"][0]
    low, high = min(gain["values"]), max(gain["values"])
    assert rows[2][5] == f"{gain['mean']:+.1f} ± {gain['standard_error']:.1f} ({low:+.1f} to {high:+.1f})"
    assert any("5 classes do not divide among 2 steps: 1 of 3 classes, then 1 of 2" in line for line in lines)
    with Image.open(tmp_path / "continual.png") as picture:
        assert picture.width > 800
        colours = {pixel for _, pixel in picture.convert("RGB").getcolors(1 << 24)}
    assert {(0, 0x72, 0xB2), (0xD5, 0x5E, 0), (0, 0x9E, 0x73)} <= colours
