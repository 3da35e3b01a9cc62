"""Appending classes: the result equals one distillation of all classes, or says why it may not."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ncfm_hub import api as run
from ncfm_hub.errors import DistilledError, NcfmHubError, PipelineError, PoolError, SourceError
from ncfm_hub.extractors.soft_labels import soft_labels
from ncfm_hub.machine.engine import Engine
from ncfm_hub.planning.sameness import differences
from ncfm_hub.publishing import load_distilled, write_data
from ncfm_hub.sources import packaged_digits
from ncfm_hub.utils.progress import Silent
from tests.children import run_python
from tests.conftest import LiveHub, clean_environment
from tests.e2e.seeding import upload_folder

pytestmark = pytest.mark.slow  # whole runs

ALL, OLD, NEW = [0, 1, 2, 3], [0, 2], [1, 3]  # of the digits
SMALL = {
    "pool.backbone": "convnet-d3-w32-instance-relu-avg",
    "pool.size": 1,
    "pool.epochs": 1,
    "distillation.steps": 3,
    "distillation.frequencies": 32,
    "distillation.real_batch": 8,
    "distillation.classes_at_once": 1,
    "distillation.sampling_network": False,
    "evaluation.students": 0,
    "engine.precision": "fp32",
    "engine.compile": "off",
}
FILES = ("distilled.safetensors", "data/train-00000-of-00001.parquet", "stored/train-00000-of-00001.parquet")
Distill = Callable[..., run.Run]


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module")
def pool(home: Path) -> str:
    """A pool that covers all four classes."""
    run.pretrain("digits", overrides=SMALL | {"source.classes": ALL}, output=home / "pool")
    return str(home / "pool")


@pytest.fixture(scope="module")
def old(home: Path, pool: str) -> Path:
    """The dataset that classes are appended to."""
    overrides = SMALL | {"source.classes": OLD}
    return run.distill("digits", 2, preset="cpu", overrides=overrides, output=home / "old", pool=pool).folder


@pytest.fixture(scope="module")
def at_once(home: Path, pool: str) -> Path:
    overrides = SMALL | {"source.classes": ALL}
    return run.distill("digits", 2, preset="cpu", overrides=overrides, output=home / "at-once", pool=pool).folder


@pytest.fixture(scope="module")
def append(home: Path, pool: str, old: Path) -> Distill:
    """Append classes, by default to the old dataset, with the fewest arguments a user would give."""

    def append(folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> run.Run:
        overrides = {"source.classes": NEW} | (changes or {})
        given = {"pool": pool, "append": str(old), "ipc": 2, "dataset": "digits"} | options
        return run.distill(overrides=overrides, output=folder, **given)

    return append


def described(folder: Path, name: str = "ipc2") -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / name / "pipeline.yaml").read_text())
    return content


def altered(folder: Path, copy: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """A copy of a dataset with another pipeline.yaml."""
    shutil.copytree(folder, copy)
    content = described(copy)
    change(content)
    (copy / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return str(copy)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the whole way -----------------------------------------------------------------------------------------------


def test_a_set_that_classes_were_added_to_is_that_of_all_at_once(
    append: Distill, old: Path, at_once: Path, tmp_path: Path
) -> None:
    before, heard = files_of(old), Heard()
    grown = append(tmp_path / "grown", progress=heard).folder
    for name in FILES:
        assert (grown / "ipc2" / name).read_bytes() == (at_once / "ipc2" / name).read_bytes(), name
    assert "the images equal those of one distillation of all 4 classes, bit for bit" in heard.notes
    assert files_of(old) == before
    content, expected = described(grown), described(at_once)
    assert content["differs_from_all_at_once"] == []
    for key in ("name", "preset", "ipc", "seed", "source", "pool"):
        assert content[key] == expected[key], key
    assert content["recipe"]["distillation"] == expected["recipe"]["distillation"]
    assert [part["classes"] for part in content["parts"]] == [["0", "2"], ["1", "3"]]
    assert "&id" not in (grown / "ipc2" / "pipeline.yaml").read_text()
    assert [part["created"] for part in content["parts"]] == [described(old)["created"], content["created"]]
    assert content["added_to"] == old.name
    card = (grown / "README.md").read_text()
    assert "The images are bit-identical to one distillation of all classes." in card
    assert "1. 0, 2 (" in card
    assert "2. 1, 3 (" in card


def test_classes_may_come_one_by_one(append: Distill, at_once: Path, tmp_path: Path) -> None:
    """A single class, by its index, then another; between them somebody writes into the card."""
    three = append(tmp_path / "three", {"source.classes": [3]}).folder
    assert described(three)["source"]["class_names"] == ["0", "2", "3"]
    (three / "README.md").write_text((three / "README.md").read_text() + "\nWritten by hand.\n")
    four = append(tmp_path / "four", {"source.classes": ["1"]}, append=str(three)).folder
    for name in FILES:
        assert (four / "ipc2" / name).read_bytes() == (at_once / "ipc2" / name).read_bytes(), name
    assert [part["classes"] for part in described(four)["parts"]] == [["0", "2"], ["3"], ["1"]]
    assert described(four)["differs_from_all_at_once"] == []
    assert "Written by hand." in (four / "README.md").read_text()


def test_a_set_of_some_classes_has_soft_labels_of_these_alone(old: Path, pool: str, engine: Engine) -> None:
    """Of the probabilities over the pool's four classes, those of two, made to sum to one."""
    from ncfm_hub.extractors.finding import find_pool

    distilled = load_distilled(old)
    every = soft_labels(distilled.images, find_pool(pool), engine).double()
    kept = every[:, [0, 2]]
    torch.testing.assert_close(distilled.soft_labels.double(), kept / kept.sum(1, keepdim=True), atol=1e-6, rtol=0)
    assert not torch.allclose(kept.sum(1), torch.ones(len(kept)).double(), atol=1e-3)
    assert described(old)["pool"]["classes"] == 4
    assert "The pool was trained on 4 classes" in (old / "README.md").read_text()


def test_a_grown_set_is_measured_like_any_other(
    append: Distill, at_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows equal those of one distillation of all classes, so that cached students are reused."""
    changes = {"evaluation.students": 1, "evaluation.updates": 1, "evaluation.baselines": ["random", "start"]}
    grown = append(tmp_path / "grown", changes)
    rows = grown.results["rows"]
    assert [row["set"] for row in rows] == ["random", "random", "start", "distilled", "distilled"]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a student was trained")

    monkeypatch.setattr("ncfm_hub.evaluation.protocol._train", refuse)
    for folder in (at_once, grown.folder):
        assert run.evaluate(folder, overrides=changes)["rows"] == rows
    assert grown.results["distillation"]["classes"] == ["1", "3"]
    assert "Loss over the classes added last, 1, 3:" in (grown.folder / "README.md").read_text()


def test_stopped_and_resumed_it_ends_alike(append: Distill, at_once: Path, tmp_path: Path) -> None:
    append(tmp_path / "grown", {"distillation.checkpoint_every": 1})
    (tmp_path / "grown" / "README.md").write_text("---\n{}\n---\nMine.\n")
    again = append(tmp_path / "grown", resume=True).folder
    for name in FILES:
        assert (again / "ipc2" / name).read_bytes() == (at_once / "ipc2" / name).read_bytes(), name
    assert "Mine." in (again / "README.md").read_text()


ON_A_HUB = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi
from ncfm_hub import api as run

small, pool, folder = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
api, repo = HfApi(), "ada/some-digits"
old = small | {"source.classes": [0, 2]}
first = run.distill("digits", 1, preset="cpu", overrides=old, output=folder / "old", pool=pool, push=True, repo_id=repo)
for somewhere in (repo, "ada/digits"):  # the source moves on, too
    api.upload_file(path_or_fileobj=b"x", path_in_repo="mine.txt", repo_id=somewhere, repo_type="dataset")
before = len(api.list_repo_commits(repo, repo_type="dataset"))
grown = run.distill(
    "digits", 1, overrides={"source.classes": [1]}, output=folder / "grown", pool=pool, append=repo, push=True
)
commits = api.list_repo_commits(repo, repo_type="dataset")
print(json.dumps({
    "repo": grown.pushed.repo_id, "revision": grown.pushed.revision, "commits": len(commits) - before,
    "head_before": commits[1].commit_id, "files": api.list_repo_files(repo, repo_type="dataset"),
}))
"""


def test_a_repository_gets_the_larger_set_in_one_commit(hub: LiveHub, home: Path, pool: str, tmp_path: Path) -> None:
    """The source is read at the dataset's commit, and files that others added stay."""
    revision = upload_folder(packaged_digits(), "ada/digits", hub)
    ended = run_python(
        ["-c", ON_A_HUB, json.dumps(SMALL), pool, tmp_path], clean_environment(home) | hub.env, tmp_path, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert (seen["repo"], seen["commits"]) == ("ada/some-digits", 1)
    assert "mine.txt" in seen["files"]
    content = described(tmp_path / "grown", "ipc1")
    assert content["added_to"] == f"ada/some-digits@{seen['head_before']}"
    assert content["source"]["revision"] == revision
    assert content["differs_from_all_at_once"] == []
    there = load_distilled(tmp_path / "grown")
    assert there.class_names == ("0", "1", "2")
    published = hub.api().hf_hub_download(
        "ada/some-digits",
        "ipc1/distilled.safetensors",
        repo_type="dataset",
        revision=seen["revision"],
        local_dir=tmp_path,
    )
    assert Path(published).read_bytes() == (tmp_path / "grown" / "ipc1" / "distilled.safetensors").read_bytes()


# --- what makes the difference -----------------------------------------------------------------------------------


def test_every_reason_to_differ_is_named(append: Distill, old: Path, tmp_path: Path) -> None:
    """Other settings the second time, each of which is reported; old images stay unchanged."""
    heard = Heard()
    changes = {
        "distillation.steps": 2,
        "distillation.classes_at_once": 2,
        "distillation.schedule": "plateau",
        "distillation.sampling_network": True,
        "distillation.frequency_scale": 2.0,
    }
    grown = append(tmp_path / "grown", changes | {"pool.seed": 1}, pool=None, progress=heard).folder
    reasons = described(grown)["differs_from_all_at_once"]
    assert reasons == [
        "the extractor pool is not the one the dataset was made with",
        "distillation.steps was 3 and is 2",
        "distillation.frequency_scale was 1.0 and is 2.0",
        f"distillation.schedule was {described(old)['recipe']['distillation']['schedule']} and is plateau",
        "distillation.sampling_network was False and is True",
        "the sampling network learns from all classes (--no-sampling-network)",
        "the schedule 'plateau' follows the losses of all classes",
        "classes that are computed together are others (distillation.classes_at_once=1 takes each alone)",
    ]
    said = "the images may differ from those of one distillation of all 4 classes: " + "; ".join(reasons)
    assert said in heard.notes
    assert (
        "**The images may differ from those of one distillation of all classes**" in (grown / "README.md").read_text()
    )
    kept, before = load_distilled(grown), load_distilled(old)
    assert torch.equal(kept.stored.chunk(4)[0], before.stored.chunk(2)[0])
    assert torch.equal(kept.stored.chunk(4)[2], before.stored.chunk(2)[1])
    assert torch.equal(kept.images.chunk(4)[2], before.images.chunk(2)[1])
    assert kept.soft_labels.shape == (32, 4)
    again = append(tmp_path / "more", {"source.classes": [4]}, append=str(grown), pool=None).folder
    assert "the dataset that was added to differs already" in described(again)["differs_from_all_at_once"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda old, now: None, None),
        (lambda old, now: old["pool"].pop("digest"), "the extractor pool is not the one the dataset was made with"),
        (lambda old, now: now["pool"].update(digest=""), "the extractor pool is not the one the dataset was made with"),
        (lambda old, now: old["source"].update(fingerprint="0" * 64), "the source is not as it was"),
        (lambda old, now: old["versions"].update(torch="1.0"), f"torch was 1.0 and is {version('torch')}"),
        (lambda old, now: now["machine"].update(threads=99), f"threads was {torch.get_num_threads()} and is 99"),
        (lambda old, now: now["machine"].update(native=True), "native was False and is True"),
        (lambda old, now: old["recipe"]["distillation"].update(lr=0.5), r"distillation.lr was 0.5 and is \S+"),
        (
            lambda old, now: old["recipe"]["distillation"].pop("classes_at_once"),
            "classes that are computed together .*",
        ),
    ],
)
def test_what_the_old_set_was_made_with_is_compared(
    old: Path,
    at_once: Path,
    pool: str,
    tmp_path: Path,
    change: Callable[[dict[str, Any], dict[str, Any]], object],
    reason: str | None,
) -> None:
    """The recipe defaults to the dataset's, so its values are given here as they were."""
    now = described(at_once)
    target = altered(old, tmp_path / "altered", lambda content: change(content, now))
    recipe = described(at_once)["recipe"]["distillation"]
    overrides = {"source.classes": NEW} | {f"distillation.{key}": value for key, value in recipe.items()}
    plan = run.plan("digits", 2, overrides=overrides, pool=pool, append=target)
    assert plan.addition is not None
    found = differences(plan.addition, now, plan.source)
    assert len(found) == (reason is not None)
    assert all(re.fullmatch(reason or "", one) for one in found), found


def test_a_gpu_promises_no_bits(old: Path, at_once: Path, pool: str) -> None:
    plan = run.plan("digits", 2, overrides={"source.classes": NEW}, pool=pool, append=str(old))
    now = described(at_once)
    now["machine"]["device"] = "cuda"
    assert plan.addition is not None
    found = differences(plan.addition, now, plan.source)
    assert found == ["on cuda no two runs are bound to give the same bits", "device was cpu and is cuda"]


# --- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({"source.classes": [1, 2]}, {}, DistilledError, "has the class '2' already; name only new ones by --classes"),
        ({"source.classes": ["no"]}, {}, SourceError, "has no class 'no'"),
        ({"source.classes": None}, {}, PipelineError, "by --classes"),
        ({}, {"ipc": 3}, DistilledError, "with ipc 2, and 3 is asked for"),
        ({}, {"seed": 1}, DistilledError, "with seed 0, and 1 is asked for"),
        ({"distillation.factor": 1}, {}, DistilledError, "distillation.factor 2, and 1 is"),
        ({"source.resolution": 8}, {}, DistilledError, "resolution 16, and 8 is"),
        ({"source.channels": 3}, {}, DistilledError, "channels 1, and 3 is"),
        ({"source.classes": [4]}, {}, PoolError, "'4' of the source not among them"),
        ({}, {"preset": "cpu"}, PipelineError, "--preset does not go with --append"),
        ({}, {"validation": True}, PipelineError, "--validation does not go with --append"),
        ({}, {"append": "nowhere"}, DistilledError, "nowhere is neither a folder nor a repository"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    append: Distill,
    tmp_path: Path,
    changes: dict[str, Any],
    options: dict[str, Any],
    error: type[NcfmHubError],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as raised:
        append(tmp_path / "grown", changes, **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "grown").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(imported={"file": "x.pt"}, preset="cpu"), "was imported; classes can only"),
        (lambda d: d.update(seed=None), "gives no seed"),
        (lambda d: d["source"].update(test_split="validation part of train"), "without --validation"),
        (lambda d: d["source"].update(dataset="ada/other", fingerprint="0"), "with source ada/other, and digits"),
        (lambda d: d.pop("recipe"), "no usable recipe"),
    ],
)
def test_sets_that_nothing_can_be_added_to(
    append: Distill, old: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    target = altered(old, tmp_path / "altered", change)
    with pytest.raises(DistilledError, match=message) as raised:
        append(tmp_path / "grown", append=target)
    assert "\n" not in str(raised.value)


def test_a_class_that_the_source_has_no_more_is_named(append: Distill, old: Path, tmp_path: Path) -> None:
    """'02' is not a name among the digits, and read as a number it would be another class."""
    target = altered(old, tmp_path / "altered", lambda content: content["source"].update(class_names=["0", "02"]))
    write_data(Path(target) / "ipc2", replace(load_distilled(old), class_names=("0", "02")))
    with pytest.raises(DistilledError, match=r"has the class '02', which digits .* has not"):
        append(tmp_path / "grown", append=target)


def test_the_old_set_is_never_written_to(append: Distill, old: Path) -> None:
    before = files_of(old)
    for options in ({}, {"resume": True}):
        with pytest.raises(DistilledError, match="stays as it is; name another folder"):
            append(old, **options)
    assert files_of(old) == before


def test_a_plan_says_what_is_added_where(old: Path, pool: str) -> None:
    options = {"overrides": {"source.classes": NEW}, "append": str(old), "pool": pool}
    plan = run.plan("digits", 2, **options)  # type: ignore[arg-type]
    assert plan.as_dict()["append"] == {"to": str(old), "new": ["1", "3"]}
    assert f"adding     1, 3 to {old}" in plan.lines()
    assert "classes    4: 0, 1, 2, 3" in plan.lines()
    assert plan.output == Path("digits-ncfm-4-classes")
    assert plan.pipeline.recipe.distillation.steps == 3
    whole = run.plan("digits", 2, preset="cpu", overrides=SMALL | {"source.classes": ALL}, pool=pool)
    assert whole.cost["distill_minutes"] is not None
    assert plan.cost["distill_minutes"] == pytest.approx(whole.cost["distill_minutes"] / 2)
