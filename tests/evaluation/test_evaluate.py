"""Evaluate folders: own and third-party datasets, several under one recipe, and updating the card."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ncfm_hub import api as run
from ncfm_hub.errors import DistilledError, PipelineError, PoolError, SourceError
from ncfm_hub.evaluation.opening import SubjectOptions, open_subject
from ncfm_hub.publishing import load_distilled
from ncfm_hub.sources import packaged_digits
from ncfm_hub.utils.progress import Silent

pytestmark = pytest.mark.slow  # whole runs

CLASSES = [3, 0, 1]
SMALL: dict[str, Any] = {
    "source.classes": CLASSES,
    "pool.size": 1,
    "pool.epochs": 1,
    "distillation.steps": 1,
    "distillation.frequencies": 16,
    "distillation.real_batch": 4,
    "evaluation.students": 1,
    "evaluation.updates": 2,
    "evaluation.baselines": ["random"],
    "engine.precision": "fp32",
    "engine.compile": "off",
}


class Notes(Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def ours(home: Path) -> Path:
    return run.distill("digits", 2, preset="cpu", overrides=SMALL, output=home / "ours").folder


@pytest.fixture(scope="module")
def pipeline(home: Path) -> str:
    """The dataset's source, as a pipeline file."""
    path = home / "three-digits.yaml"
    source = {"dataset": "{user}/digits", "resolution": 16, "channels": 1, "flip": False, "classes": CLASSES}
    evaluation = {"students": 1, "updates": 2, "baselines": ["random"], "batch_size": 50, "schedule": "one-cycle"}
    pool = {"size": 1, "epochs": 1}
    engine = {"precision": "fp32", "compile": "off"}
    presets = {"cpu": {"evaluation": evaluation, "pool": pool}}
    path.write_text(yaml.safe_dump({"description": "three", "source": source, "engine": engine, "presets": presets}))
    return str(path)


@pytest.fixture(scope="module")
def theirs(ours: Path, home: Path) -> Path:
    """Our images as a third party would publish them: a split of images, labels and soft labels."""
    folder = home / "theirs"
    shutil.copytree(ours / "ipc2" / "data", folder / "data")
    return folder


def test_a_set_of_others_is_measured_on_the_source_that_is_named(ours: Path, theirs: Path, pipeline: str) -> None:
    subject = open_subject(theirs, SubjectOptions(pipeline, "cpu"))
    distilled = load_distilled(ours)
    assert torch.equal(subject.images, distilled.images)
    assert torch.equal(subject.labels, distilled.labels)
    torch.testing.assert_close(subject.soft_labels, distilled.soft_labels, atol=1e-6, rtol=0)
    assert (subject.ipc, subject.stored, subject.factor) == (8, 24, None)
    assert subject.class_names == ("3", "0", "1")
    result = run.evaluate(theirs, source=pipeline, preset="cpu")
    assert [(row["set"], row["labels"]) for row in result["rows"]] == [
        ("random", "hard"),
        ("random", "soft"),
        ("distilled", "hard"),
        ("distilled", "soft"),
    ]
    assert [row["stored_images"] for row in result["rows"]] == [24] * 4
    mine = {(row["set"], row["labels"]): row["accuracy"] for row in run.evaluate(ours)["rows"]}
    assert result["rows"][2]["accuracy"] == mine["distilled", "hard"]


def test_a_set_of_others_needs_its_source(theirs: Path) -> None:
    with pytest.raises(
        DistilledError, match="is a third-party dataset that does not name its source; give it with --source"
    ):
        run.evaluate(theirs)
    with pytest.raises(SourceError, match="does not have the classes of"):
        run.evaluate(theirs, source="digits", preset="cpu")


def test_several_sets_make_one_table_under_the_recipe_of_the_first(ours: Path, theirs: Path, home: Path) -> None:
    folder = home / "other recipe"
    shutil.copytree(ours, folder)
    described = yaml.safe_load((folder / "ipc2" / "pipeline.yaml").read_text())
    described["recipe"]["evaluation"] |= {"updates": None, "epochs": 7, "lr": 1e-5}
    (folder / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    found = run.evaluate([ours, folder])["targets"]
    assert [one["target"] for one in found] == [str(ours), str(folder)]
    assert found[0]["protocol"] == found[1]["protocol"]
    assert found[0]["protocol"]["updates"] == 2
    assert [row["accuracy"] for row in found[0]["rows"]] == [row["accuracy"] for row in found[1]["rows"]]


def test_epochs_are_those_of_the_first_set(ours: Path, home: Path) -> None:
    """24 images in batches of 50: one update per epoch."""
    folder = home / "twice"
    shutil.copytree(ours, folder)
    found = run.evaluate([ours, folder], overrides={"evaluation.epochs": 3})["targets"]
    assert [one["protocol"]["updates"] for one in found] == [3, 3]


def test_what_cannot_be_measured_is_said_before_anything_is(
    ours: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncfm_hub.evaluation.evaluate.evaluate_subject", lambda *_, **__: pytest.fail("measured"))
    with pytest.raises(DistilledError, match="give it with --source"):
        run.evaluate([ours, theirs])
    with pytest.raises(PoolError, match="no network is called 'vgg12'"):
        run.evaluate(ours, overrides={"evaluation.architectures": ["vgg12"]})
    for asked in ({"ranking": True}, {"update": True}):
        with pytest.raises(PipelineError, match="--students is 0, so there is nothing to evaluate"):
            run.evaluate(ours, overrides={"evaluation.students": 0}, **asked)


def test_sets_of_other_sources_do_not_share_a_table(ours: Path, home: Path) -> None:
    changed = SMALL | {"source.classes": [4, 5, 6], "evaluation.students": 0}
    other = run.distill("digits", 1, preset="cpu", overrides=changed, output=home / "other").folder
    with pytest.raises(DistilledError, match="datasets in one table must share a source"):
        run.evaluate([ours, other])


def test_what_is_measured_goes_into_the_folder_only_when_asked(ours: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(ours, folder)
    before = {path.name: path.read_bytes() for path in (folder / "ipc2").iterdir() if path.is_file()}
    changes = {
        "evaluation.baselines": ["random", "herding"],
        "evaluation.architectures": ["convnet-d2-w32-instance-relu-avg"],
    }
    run.evaluate(folder, overrides=changes)
    assert {path.name: path.read_bytes() for path in (folder / "ipc2").iterdir() if path.is_file()} == before
    run.evaluate(folder, overrides=changes, update=True)
    results = json.loads((folder / "ipc2" / "results.json").read_text())
    assert ("herding", "hard") in [(row["set"], row["labels"]) for row in results["rows"]]
    assert results["distillation"] == json.loads(before["results.json"])["distillation"]
    card = (folder / "README.md").read_text()
    assert "| herding |" in card
    assert "`convnet-d2-w32-instance-relu-avg`" in card
    run.evaluate(folder, overrides={"evaluation.baselines": ["k-center"]}, update=True)
    found = [row["set"] for row in json.loads((folder / "ipc2" / "results.json").read_text())["rows"]]
    assert found == ["random", "random", "herding", "k-center", "distilled", "distilled"]
    wider = {"evaluation.architectures": ["convnet-d1-w32-instance-relu-avg"]}
    run.evaluate(folder, overrides=wider, update=True)  # what others found under the same protocol stays
    same_protocol = json.loads((folder / "ipc2" / "results.json").read_text())
    students = list(dict.fromkeys(row["student"] for row in same_protocol["cross_architecture"]))
    names = ["ncfm_convnet3", "convnet-d2-w32-instance-relu-avg", "convnet-d1-w32-instance-relu-avg"]
    assert students == names
    other = {"evaluation.updates": 3, "evaluation.lr": 0.0125}
    listening = Notes()
    run.evaluate(folder, overrides=other, update=True, progress=listening)
    assert f"have another protocol; they are now in {folder / 'ipc2' / 'results-1.json'}" in "".join(listening.said)
    assert "| evaluation | lr | 0.0125 |" in (folder / "README.md").read_text()
    now = json.loads((folder / "ipc2" / "results.json").read_text())
    assert "cross_architecture" not in now
    assert now["distillation"] == results["distillation"]
    assert json.loads((folder / "ipc2" / "results-1.json").read_text()) == same_protocol
    for name in ("distilled.safetensors", "pipeline.yaml"):
        assert (folder / "ipc2" / name).read_bytes() == before[name]


def test_only_a_folder_of_ours_can_be_updated(theirs: Path, pipeline: str) -> None:
    with pytest.raises(DistilledError, match="it has no card to update"):
        run.evaluate(theirs, source=pipeline, update=True)


def test_a_card_is_not_about_other_images(ours: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(ours, folder)
    described = yaml.safe_load((folder / "ipc2" / "pipeline.yaml").read_text())
    described["source"]["fingerprint"] = "another"
    (folder / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    with pytest.raises(DistilledError, match="measure it without --update"):
        run.evaluate(folder, update=True)


def test_another_copy_of_the_source_is_read_as_the_first_was(ours: Path, tmp_path: Path) -> None:
    """Its size, channels and classes stay: named by a folder alone they would be 32 px, three channels, all."""
    subject = open_subject(ours, SubjectOptions(packaged_digits()))
    assert subject.source.train.images.shape[1:] == (1, 16, 16)
    assert subject.class_names == ("3", "0", "1")


def test_another_copy_of_the_source_may_be_named(ours: Path, pipeline: str) -> None:
    assert run.evaluate(ours, source=pipeline)["rows"] == run.evaluate(ours)["rows"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation.baselines": ["luck"]}, "luck"),
        ({"evaluation.architectures": "vgg11"}, "expected a list"),
        ({"distillation.steps": 3}, "fixed in a finished dataset"),
    ],
)
def test_values_that_cannot_be_are_refused(ours: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        run.evaluate(ours, overrides=changes)
