"""Datasets without a usable test split: what works without one, and slices in place of one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from ncfm_hub import api as run
from ncfm_hub.errors import DistilledError, SourceError
from ncfm_hub.evaluation.search.candidates import Budget
from ncfm_hub.evaluation.search.study import search_architectures
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.reporting.report import write_report
from ncfm_hub.sources import inspect_source, load_source
from tests.sources.conftest import Build
from tests.sources.conftest import build as build  # a fixture
from tests.sources.small_images import plain_image

pytestmark = pytest.mark.slow  # whole runs

SMALL = {
    "source.resolution": 16,
    "pool.size": 1,
    "pool.epochs": 1,
    "distillation.steps": 2,
    "distillation.frequencies": 32,
    "distillation.real_batch": 8,
    "evaluation.students": 1,
    "evaluation.updates": 2,
    "evaluation.baselines": ["random"],
    "evaluation.soft_labels": False,
    "engine.precision": "fp32",
    "engine.compile": "off",
}
UNMEASURED = SMALL | {"evaluation.students": 0}


@pytest.fixture(scope="module")
def train_only(home: Path) -> Path:
    """`data/train` with three class folders of 20 images, and nothing else."""
    folder = home / "pets"
    for c, name in enumerate(("cat", "dog", "fox")):
        (folder / "data" / "train" / name).mkdir(parents=True)
        for k in range(20):
            Image.new("RGB", (32, 32), (80 * c, 10 * k, 90)).save(folder / "data" / "train" / name / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def unmeasured(train_only: Path, home: Path) -> run.Run:
    return run.distill(str(train_only), 2, preset="cpu", overrides=UNMEASURED, output=home / "unmeasured")


def test_nothing_is_measured_of_a_set_without_a_test_split(unmeasured: run.Run, train_only: Path, home: Path) -> None:
    described = read_pipeline(unmeasured.set_folder)
    assert (described["source"]["test_split"], described["source"]["test_count"]) == (None, None)
    assert described["source"]["train_count"] == 60
    assert unmeasured.results["rows"] == []
    assert unmeasured.results["pool"]["measured_on"] == {"split": "train", "images": 60}
    card = (unmeasured.folder / "README.md").read_text()
    assert "60 to train |" in card
    page = write_report(unmeasured.folder, home / "page.html").read_text()
    assert not [text for text in (card, page) if "None" in text or "null" in text]
    plan = run.plan(str(train_only), 2, preset="cpu", overrides=UNMEASURED)
    assert plan.pool["cached"] is True
    assert any("train -> nothing is measured" in line for line in plan.lines())


def test_it_can_be_searched_by_and_not_evaluated_on_its_own(unmeasured: run.Run) -> None:
    budget = Budget(proxy_updates=1, whole_updates=1)
    found = search_architectures(
        str(unmeasured.folder), architectures=["convnet-d3-w32-instance-relu-avg"], budget=budget
    )
    assert (found["protocol"]["split"], found["protocol"]["test_images"]) == ("validation part of train", 6)
    for study in (run.evaluate, lambda target: run_continual(target)):
        with pytest.raises(DistilledError, match="pets, which had no test split; name a source that has one by --sou"):
            study(unmeasured.folder)


def run_continual(target: Path) -> Any:
    from ncfm_hub.evaluation.continual.study import continual

    return continual(str(target), steps=2, orders=1, output=target.parent / "continual")


def test_classes_are_added_without_a_test_split(unmeasured: run.Run, train_only: Path, tmp_path: Path) -> None:
    pool = run.pretrain(str(train_only), preset="cpu", overrides=UNMEASURED, output=tmp_path / "pool").folder

    def distill(name: str, classes: list[str], append: Path | None = None) -> Path:
        overrides = UNMEASURED | {"source.classes": classes, "distillation.classes_at_once": 1}
        more: dict[str, Any] = {"append": str(append)} if append else {"preset": "cpu"}
        return run.distill(
            str(train_only), 1, overrides=overrides, output=tmp_path / name, pool=str(pool), **more
        ).set_folder

    grown = distill("grown", ["dog"], append=distill("first", ["cat", "fox"]))
    described = read_pipeline(grown)
    assert described["source"]["class_names"] == ["cat", "dog", "fox"]
    assert described["source"]["test_split"] is None
    assert described["differs_from_all_at_once"] == []


def test_the_validation_part_serves(train_only: Path, tmp_path: Path) -> None:
    made = run.distill(
        str(train_only), 2, preset="cpu", overrides=SMALL, output=tmp_path / "validated", validation=True
    )
    protocol = made.results["protocol"]
    assert (protocol["split"], protocol["test_images"]) == ("validation part of train", 6)
    again = run.evaluate(made.folder)
    assert [row["accuracy"] for row in again["rows"]] == [row["accuracy"] for row in made.results["rows"]]


def test_without_either_the_error_names_both(train_only: Path) -> None:
    with pytest.raises(SourceError, match=r"no split 'test'; available: train; .*--validation.*--students 0") as found:
        run.plan(str(train_only), 2, preset="cpu", overrides=SMALL)
    assert "--train-split 'train[:80%]' --test-split 'train[80%:]'" in str(found.value)
    with pytest.raises(SourceError, match="no split 'tests'"):  # named, and not there: a slip
        run.plan(str(train_only), 2, preset="cpu", overrides=UNMEASURED | {"source.test_split": "tests"})


ROWS = [(plain_image(10 * n), n % 2) for n in range(20)]


def test_a_test_split_without_labels_is_not_looked_at(build: Build, tmp_path: Path) -> None:
    folder = build(ROWS, [(b"no image at all", -1)] * 3, names=["ant", "bee"])
    spec = SourceRecipe(dataset=str(folder), resolution=8)
    unread = load_source(spec, test="unread")
    assert unread.test is None
    assert unread.info.test_split is None
    assert len(unread.train.labels) == 20
    with pytest.raises(SourceError, match="split 'test': no labelled images"):
        load_source(spec)
    without = load_source(spec, test="if there")
    assert without.test is None
    assert any("split 'test': no labelled images" in note for note in without.notes)
    with pytest.raises(SourceError, match="split 'test': no labelled images"):  # from the cache, too
        load_source(spec)
    copied = shutil.copytree(folder, tmp_path / "elsewhere")
    notes = load_source(spec.model_copy(update={"dataset": str(copied)}), test="if there").notes
    assert notes == without.notes
    assert str(folder) not in "".join(notes)


@pytest.mark.parametrize(
    ("train", "test", "numbers"),
    [
        ("train[:80%]", "train[80%:]", (range(16), range(16, 20))),
        ("train[5:]", "train[:5]", (range(5, 20), range(5))),
        ("train[:-3]", "train[-3:]", (range(17), range(17, 20))),
        ("train[10%:50%]", "test", (range(2, 10), range(2))),
    ],
)
def test_slices(build: Build, train: str, test: str, numbers: tuple[range, range]) -> None:
    folder = build(ROWS, ROWS[:2], names=["ant", "bee"])
    source = load_source(SourceRecipe(dataset=str(folder), resolution=8, train_split=train, test_split=test))
    found = [(part.images[:, 0, 3, 3] // 10).tolist() for part in (source.train, source.tested_on())]
    assert found == [list(rows) for rows in numbers]
    assert source.train.labels.tolist() == [n % 2 for n in numbers[0]]
    assert (source.info.train_split, source.info.test_split) == (train, test)
    assert (source.info.train_examples, source.info.test_examples) == tuple(map(len, numbers))
    whole = inspect_source(SourceRecipe(dataset=str(folder), resolution=8))
    assert source.fingerprint != whole.fingerprint


def test_slices_of_chosen_classes_count_all_rows(build: Build) -> None:
    folder = build(ROWS, ROWS[:2], names=["ant", "bee"])
    spec = SourceRecipe(
        dataset=str(folder), resolution=8, classes=["bee", "ant"], train_split="train[:10]", test_split="train[10:]"
    )
    source = load_source(spec)
    assert source.tested_on().labels.tolist() == [1, 0] * 5
    broken = [*ROWS[:12], (b"no image", 0), *ROWS[13:]]
    spec = spec.model_copy(update={"dataset": str(build(broken, ROWS[:2], names=["ant", "bee"], folder="broken"))})
    with pytest.raises(SourceError, match=r"split 'train\[10:\]', row 12 \(class 'ant'\)"):
        load_source(spec)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ("train[:80%]", "train[70%:]", "overlap; use disjoint splits"),
        ("train", "train[80%:]", r"--train-split 'train\[:80%\]' --test-split 'train\[80%:\]'"),
        ("train[:80%]", "train", "overlap; use disjoint splits"),
        ("train[:80", "test", r"--train-split 'train\[:80' is not a slice of a split; expected NAME\[from:to\]"),
        ("train[:120%]", "test", r"the slice 'train\[:120%\]' selects no rows"),
        ("train[30:40]", "test", r"the slice 'train\[30:40\]' selects no rows of a split of 20"),
        ("learn[:80%]", "test", "no split 'learn'; available: train, test"),
        ("train[:50%]", "train[50%:]", "no images of class 'bee'.*rows may be sorted by class; --validation"),
    ],
)
def test_slices_that_cannot_be(build: Build, train: str, test: str, said: str) -> None:
    by_class = [(data, n // 10) for n, (data, _) in enumerate(ROWS)]
    folder = build(by_class, by_class[:2], names=["ant", "bee"])
    with pytest.raises(SourceError, match=said):
        load_source(SourceRecipe(dataset=str(folder), resolution=8, train_split=train, test_split=test))


def test_slices_of_an_image_folder_are_apart(train_only: Path) -> None:
    """Its number of images is not known before it is read."""
    spec = SourceRecipe(dataset=str(train_only), resolution=8, train_split="train[:80%]", test_split="train[75%:]")
    with pytest.raises(SourceError, match="overlap; use disjoint splits"):
        load_source(spec)


def test_a_run_on_slices_says_so(build: Build, home: Path, tmp_path: Path) -> None:
    folder = build(ROWS, ROWS[:2], names=["ant", "bee"])
    slices = {"source.train_split": "train[:80%]", "source.test_split": "train[80%:]"}
    made = run.distill(str(folder), 1, preset="cpu", overrides=SMALL | slices, output=tmp_path / "sliced")
    described = yaml.safe_load((made.set_folder / "pipeline.yaml").read_text())
    assert described["source"]["train_split"] == "train[:80%]"
    assert described["source"]["test_split"] == "train[80%:]"
    assert (described["source"]["train_count"], described["source"]["test_count"]) == (16, 4)
    assert json.loads((made.set_folder / "results.json").read_text())["protocol"]["split"] == "train[80%:]"
    assert "80%:" in (made.folder / "README.md").read_text()
    assert run.evaluate(made.folder)["rows"] == made.results["rows"]
