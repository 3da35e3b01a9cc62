"""The search: which architectures, on which images, what fails, what is stored and written."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ncfm_hub.errors import PoolError
from ncfm_hub.evaluation.search import candidates
from ncfm_hub.evaluation.search import study as search
from ncfm_hub.evaluation.search.agreement import agreement
from ncfm_hub.evaluation.search.candidates import Budget
from ncfm_hub.evaluation.search.report import agreement_lines, architecture_lines, write_search
from ncfm_hub.evaluation.search.study import choose_architectures, search_architectures
from ncfm_hub.evaluation.students import Students
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.grid import convnet_grid
from ncfm_hub.publishing.dataset.dataset import images_digest
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.sources import cut_validation
from tests.matching.tiny import tiny_source

SOURCE = tiny_source(per_class=20)
GOOD = ("convnet-d1-w8-instance-relu-avg", "convnet-d2-w8-batch-relu-max", "convnet-d1-w8-none-relu-none")
TOO_DEEP = "convnet-d4-w8-none-relu-max"
BUDGET = Budget(proxy_updates=2, whole_updates=3)


class Listening:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.total = self.done = 0

    def note(self, message: str) -> None:
        self.notes.append(message)

    def bar(self, total: int, what: str, done: int = 0) -> Any:
        self.total = total
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def advance(self, count: int = 1, **figures: float | str) -> None:
        self.done += count


@pytest.fixture
def subject(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Two real images per class in place of a distilled dataset."""
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    rows = torch.cat([rows[:2] for rows in SOURCE.class_indices()])
    recipe = load_pipeline("digits", preset="cpu", overrides={"evaluation.batch_size": 6}).recipe
    made = Subject(
        name="mine",
        images=SOURCE.train.images[rows],
        labels=SOURCE.train.labels[rows],
        soft_labels=None,
        ipc=2,
        stored=6,
        factor=None,
        source=SOURCE,
        recipe=recipe,
        engine=engine,
        parts=1,
    )
    monkeypatch.setattr(search, "open_subject", lambda *_, **__: made)
    monkeypatch.setattr(search, "agreement", partial(agreement, resamples=20))
    return made


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """(architecture, images, updates) of every student that is really trained."""
    found = []
    original = Students.train_and_test

    def listen(self: Students, training: Any, *rest: Any) -> Any:
        found.append((self.architecture.name, len(training.labels), self.plan.updates))
        return original(self, training, *rest)

    monkeypatch.setattr(Students, "train_and_test", listen)
    return found


def test_a_larger_sample_holds_the_smaller_one() -> None:
    small, large = choose_architectures(None, 5, 0), choose_architectures(None, 12, 0)
    assert large[:5] == small
    assert len(set(large)) == 12
    assert set(large) <= set(convnet_grid())
    assert len(choose_architectures(None, None, 0)) == search.SAMPLE
    assert choose_architectures(None, 5, 1) != small
    assert choose_architectures(["a", "b", "a"], None, 0) == ["a", "b"]
    two = choose_architectures(["a", "b", "c"], 2, 0)
    assert len(two) == 2
    assert set(two) < {"a", "b", "c"}
    assert choose_architectures(None, 9999, 0) == convnet_grid()


def test_every_architecture_is_trained_on_each_set_and_measured_apart_from_it(
    subject: Subject, trained: list[tuple[str, int, int]]
) -> None:
    """20 images per class, 2 of them held out for testing; the test split's 12 are never read.

    One update runs before, so that measured times exclude compilation.
    """
    heard = Listening()
    found = search_architectures("mine", architectures=GOOD, budget=BUDGET, progress=heard)
    assert trained == [(name, *rest) for name in GOOD for rest in ((6, 1), (6, 2), (6, 2), (54, 3))]
    assert [one["name"] for one in found["architectures"]] == list(GOOD)
    assert found["images_sha256"] == images_digest(subject.images, subject.labels)
    assert found["protocol"]["split"] == "validation part of train"
    assert found["protocol"]["test_images"] == 6
    assert found["protocol"]["distilled_from_test_images"]
    assert (found["protocol"]["proxy_updates"], found["protocol"]["whole_updates"]) == (2, 3)
    assert heard.done == heard.total == len(GOOD) * (2 + 2 + 3)
    assert set(found["seconds"]) == {"distilled", "random", "whole"}
    for kind, seconds in found["seconds"].items():
        assert seconds == pytest.approx(sum(one["seconds"][kind] for one in found["architectures"]), abs=0.06)
    assert set(found["agreement"]) == {"distilled", "random", "distilled minus random"}
    assert set(found["agreement"]["distilled"]["regret"]) == {"1"}


def test_what_was_trained_is_not_trained_again(subject: Subject, trained: list[tuple[str, int, int]]) -> None:
    first = search_architectures("mine", architectures=GOOD[:2], budget=BUDGET)
    trained.clear()
    again = search_architectures("mine", architectures=GOOD, budget=BUDGET)
    assert {name for name, *_ in trained} == {GOOD[2]}
    assert again["architectures"][:2] == first["architectures"]
    trained.clear()
    search_architectures("mine", architectures=GOOD[:2], budget=Budget(2, 4), random_baseline=False)
    assert trained == [(name, *rest) for name in GOOD[:2] for rest in ((6, 1), (54, 4))]
    trained.clear()
    heard = Listening()
    assert search_architectures("mine", architectures=GOOD, budget=BUDGET, progress=heard) == again
    assert trained == []
    assert heard.done == heard.total


def test_students_of_several_seeds_have_a_deviation(subject: Subject) -> None:
    found = search_architectures("mine", architectures=GOOD[:1], budget=Budget(2, 3, students=2), random_baseline=False)
    assert found["architectures"][0]["distilled"]["n"] == 2
    assert found["architectures"][0]["whole"]["std"] is not None
    assert "random" not in found["architectures"][0]
    assert set(found["agreement"]) == {"distilled"}


def test_what_fails_is_named_and_the_others_go_on(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Students._test

    def diverge(self: Students, *arguments: Any) -> Any:
        if self.architecture.name == GOOD[1] and self.plan.updates == 3:
            next(self.trainer.network.parameters()).data.fill_(float("nan"))
        return original(self, *arguments)

    monkeypatch.setattr(Students, "_test", diverge)
    heard = Listening()
    found = search_architectures("mine", architectures=[TOO_DEEP, *GOOD], budget=BUDGET, progress=heard)
    assert [one["name"] for one in found["architectures"]] == [GOOD[0], GOOD[2]]
    assert [one["name"] for one in found["failed"]] == [TOO_DEEP, GOOD[1]]
    assert "needs images of at least 32 px" in found["failed"][0]["reason"]
    assert "not finite after 3 updates" in found["failed"][1]["reason"]
    assert heard.done == heard.total == 3 * (2 + 2 + 3)
    assert sum("is left out" in note for note in heard.notes) == 2
    assert TOO_DEEP in "\n".join(architecture_lines(found))
    with pytest.raises(PoolError, match=r"none of 1 architecture could be measured; the first: .*32 px"):
        search_architectures("mine", architectures=[TOO_DEEP], budget=BUDGET)
    with pytest.raises(PoolError, match="no network is called 'resnt18'; close: resnet18"):
        search_architectures("mine", architectures=["resnt18"], budget=BUDGET)


def test_a_set_made_on_the_validation_part_is_measured_on_it(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = replace(subject, source=cut_validation(SOURCE))
    monkeypatch.setattr(search, "open_subject", lambda *_, **__: cut)
    found = search_architectures("mine", architectures=GOOD[:1], budget=BUDGET)
    assert not found["protocol"]["distilled_from_test_images"]
    assert found["protocol"]["test_images"] == 6
    monkeypatch.setattr(search, "open_subject", lambda *_, **__: replace(subject, parts=None))
    found = search_architectures("theirs", architectures=GOOD[:1], budget=BUDGET)
    assert found["protocol"]["distilled_from_test_images"] is None
    assert any("it may have been distilled from the images tested on" in line for line in agreement_lines(found))


def figure(mean: float, std: float | None = None) -> dict[str, Any]:
    return {"n": 1 if std is None else 3, "mean": mean, "std": std, "values": [mean]}


def test_the_report_says_what_was_found(tmp_path: Path) -> None:
    names = [f"convnet-d{1 + i % 3}-w{32 * (1 + i)}-instance-relu-avg" for i in range(6)]
    ones = [
        {
            "name": name,
            "parameters": 1000 * (i + 1),
            "distilled": figure(40.0 + 2 * i, 1.0),
            "random": figure(30.0 + (i * 7) % 5, 1.5),
            "whole": figure(60.0 + 3 * i, 0.5),
            "seconds": {"distilled": 10.0, "random": 10.0, "whole": 40.0},
        }
        for i, name in enumerate(names)
    ]
    found = {
        "protocol": {
            "drawn_from": "720 ConvNets",
            "students": 3,
            "proxy_updates": 200,
            "whole_updates": 800,
            "test_images": 5000,
            "split": "validation part of train",
            "distilled_from_test_images": True,
        },
        "agreement": agreement(
            {kind: [one[kind]["mean"] for one in ones] for kind in ("distilled", "random")},
            [one["whole"]["mean"] for one in ones],
            0,
            resamples=50,
        ),
        "seconds": {"distilled": 60.0, "random": 60.0, "whole": 240.0},
        "architectures": ones,
        "failed": [{"name": "vgg11", "reason": "too deep"}],
    }
    write_search(tmp_path, found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nas.json", "nas.md", "nas.png"]
    assert (tmp_path / "nas.png").read_bytes().startswith(b"\x89PNG")
    lines = agreement_lines(found)
    assert lines[2].startswith(
        "| distilled images | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] | 0.0 | 0.0 | 0.0 | 60 s of "
    )
    assert "240 s (75 % saved)" in lines[2]
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert any("validation part of train" in line for line in lines)
    table = architecture_lines(found)
    assert table[2].startswith(f"| {names[5]} | 6,000 | 50.0 ± 1.0 |")
    assert table[-1] == "- vgg11: too deep"
    assert "\n".join(table) in (tmp_path / "nas.md").read_text()


def test_a_search_is_for_one_process(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(subject.engine.accelerator), "num_processes", 2)
    with pytest.raises(PoolError, match="one process"):
        search_architectures("mine", architectures=GOOD, budget=BUDGET)
    assert candidates.PROXY_UPDATES < candidates.WHOLE_UPDATES
