"""`distill --push --dry-run` for every pipeline, against a hub that has each one's schema and a few images."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

import pytest

from ncfm_hub.recipes.resolve import pipeline_names
from ncfm_hub.sources import packaged_digits
from tests.conftest import LiveHub
from tests.e2e.people import MakePerson, Person, error_line
from tests.e2e.seeding import Repo, push_to_hub, rows, upload_folder


@dataclass(frozen=True)
class Schema:
    """A repository as public code uses it: columns, splits, classes, images per class in each split.

    The names are this hub's own, so that a plan that shows them can have them from nowhere else.
    """

    repo: str
    config: str
    columns: tuple[str, str]
    splits: tuple[str, str] = ("train", "test")
    classes: int = 10
    mode: str = "RGB"
    each: int = 3

    @property
    def names(self) -> list[str]:
        return [f"{self.repo.partition('/')[2]} class {number}, as named here" for number in range(self.classes)]


_IMAGE = ("image", "label")
_SCHEMAS = (
    Schema("ylecun/mnist", "mnist", _IMAGE, mode="L"),
    Schema("zalando-datasets/fashion_mnist", "fashion_mnist", _IMAGE, mode="L"),
    Schema("ufldl-stanford/svhn", "cropped_digits", _IMAGE),
    Schema("uoft-cs/cifar10", "plain_text", ("img", "label")),
    Schema("uoft-cs/cifar100", "cifar100", ("img", "fine_label"), classes=100),
    Schema("zh-plus/tiny-imagenet", "default", _IMAGE, ("train", "valid"), 200),
    Schema("frgfm/imagenette", "160px", _IMAGE, ("train", "validation")),
    Schema("frgfm/imagewoof", "160px", _IMAGE, ("train", "validation")),
    Schema("ILSVRC/imagenet-1k", "default", _IMAGE, ("train", "validation"), 1000, each=1),
)
SCHEMAS = {schema.repo: schema for schema in _SCHEMAS}
_ALL_OF = {
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "svhn": "ufldl-stanford/svhn",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "tiny-imagenet": "zh-plus/tiny-imagenet",
    "imagenette": "frgfm/imagenette",
    "imagewoof": "frgfm/imagewoof",
}
# Classes of ImageNet-1k, in the order of the subset.
_PARTS = {
    "imagefruit": (953, 954, 949, 950, 951, 957, 952, 945, 943, 956),
    "imagemeow": (281, 282, 283, 284, 285, 291, 292, 290, 289, 287),
    "imagesquawk": (84, 130, 88, 144, 145, 22, 96, 9, 100, 89),
    "imageyellow": (309, 986, 954, 951, 987, 779, 599, 291, 74, 11),
}
PIPELINES = {name: SCHEMAS[repo] for name, repo in _ALL_OF.items()}
PIPELINES |= dict.fromkeys(_PARTS, SCHEMAS["ILSVRC/imagenet-1k"])
PIXELS = {"mnist": 28, "fashion-mnist": 28, "tiny-imagenet": 64} | dict.fromkeys(
    (*_PARTS, "imagenette", "imagewoof"), 128
)
NETWORKS = {28: "ncfm_convnet3", 32: "ncfm_convnet3", 64: "ncfm_convnet4", 128: "ncfm_convnet5"}
MISSING = "nobody/never-was"


def _repo(schema: Schema) -> Repo:
    labels = {schema.columns[1]: schema.names}
    if schema.repo == "uoft-cs/cifar100":
        labels["coarse_label"] = [f"coarse {number}" for number in range(20)]
    train, test = schema.splits
    splits = {train: rows(range(schema.classes), schema.each), test: rows(range(schema.classes))}
    return Repo(schema.repo, {schema.columns[0]: "image", **labels}, splits, schema.config, schema.mode)  # type: ignore[arg-type]


@dataclass(frozen=True)
class DryRuns:
    """All dry runs, and the commits at which the hub's repositories stood."""

    user: Person
    commits: Mapping[str, str]
    runs: Mapping[str, CompletedProcess[str]]

    def plan(self, name: str) -> dict[str, Any]:
        ended = self.runs[name]
        assert (ended.returncode, ended.stderr) == (0, "")
        plan: dict[str, Any] = json.loads(ended.stdout)
        return plan


@pytest.fixture(scope="module")
def dry_runs(town: LiveHub, somebody: MakePerson) -> DryRuns:
    commits = push_to_hub([_repo(schema) for schema in _SCHEMAS], town, somebody())
    commits["ada/digits"] = upload_folder(packaged_digits(), "ada/digits", town)
    user = somebody(**town.env)

    def words(name: str) -> list[str]:
        return ["distill", "--dataset", name, "--ipc", "10", "--push", "--dry-run"]

    typed = {name: [*words(name), "--format", "json"] for name in PIPELINES}
    alone = {name: user.ncfm(*words(name)) for name in ("digits", MISSING)}
    return DryRuns(user, commits, user.in_one_process(typed) | alone)


def test_thirteen_pipelines_are_shipped() -> None:
    assert sorted(pipeline_names()) == sorted([*PIPELINES, "digits"])
    assert len(pipeline_names()) == 13


@pytest.mark.parametrize("name", PIPELINES)
def test_source_and_classes_come_from_the_hub(dry_runs: DryRuns, name: str) -> None:
    schema, plan = PIPELINES[name], dry_runs.plan(name)
    source = plan["source"]
    assert (source["dataset"], source["config"]) == (schema.repo, schema.config)
    assert source["revision"] == dry_runs.commits[schema.repo]
    assert plan["recipe"]["source"]["revision"] == source["revision"], "what was looked at is what will be read"
    assert (source["image_column"], source["label_column"]) == schema.columns
    assert (source["train_split"], source["test_split"]) == schema.splits
    assert source["train_examples"] == schema.classes * schema.each
    ids = _PARTS.get(name, range(schema.classes))
    assert source["class_ids"] == list(ids)
    assert source["class_names"] == [schema.names[number] for number in ids]
    assert plan["classes"] == len(source["class_names"])
    channels = 1 if name in ("mnist", "fashion-mnist") else 3
    assert (source["resolution"], source["channels"]) == (PIXELS.get(name, 32), channels)


@pytest.mark.parametrize("name", PIPELINES)
def test_pool_cost_and_target_are_settled(dry_runs: DryRuns, name: str) -> None:
    plan = dry_runs.plan(name)
    assert plan["preset"] == "cpu", "no GPU is to be seen"
    assert plan["pool"] == {
        "architecture": NETWORKS[PIXELS.get(name, 32)],
        "members": 3,
        "cached": False,
        "origin": "to be trained",
    }
    stages = [plan["cost"][f"{stage}_minutes"] for stage in ("pool", "distill", "evaluate")]
    assert min(stages) > 0
    assert plan["cost"]["total_minutes"] == pytest.approx(sum(stages))
    assert (plan["ipc"], plan["repo_id"], plan["output"]) == (10, f"ada/{name}-ncfm", f"{name}-ncfm")


def test_people_see_the_plan_of_their_own_digits(dry_runs: DryRuns) -> None:
    ended = dry_runs.runs["digits"]
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    assert shown["source"].startswith(f"ada/digits @ {dry_runs.commits['ada/digits'][:12]}, config default")
    assert shown["columns"] == "image (images), label (labels)"
    assert shown["classes"] == "10: 0, 1, 2, 3, 4, ..."
    assert shown["images"] == "1 x 16 x 16 px, 10 stored per class"
    assert shown["pool"] == "2 x ncfm_convnet3, to be trained"
    assert re.match(r"\d+\.\d min \(pool \d", shown["estimate"])
    assert shown["folder"] == "digits-ncfm/ipc10"
    assert shown["push"] == "to    ada/digits-ncfm"


def test_a_missing_repository_is_one_line_and_exit_1(dry_runs: DryRuns, town: LiveHub) -> None:
    ended = dry_runs.runs[MISSING]
    line = error_line(ended)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    for part in (MISSING, town.hub.url, "hf auth login"):
        assert part in line


def test_nothing_is_made_by_a_dry_run(dry_runs: DryRuns, town: LiveHub) -> None:
    assert list(dry_runs.user.folder.iterdir()) == []
    assert not (dry_runs.user.cache / "pools").exists()
    assert not (dry_runs.user.cache / "sources").exists()
    assert [repo.id for repo in town.api().list_datasets(author="ada")] == ["ada/digits"]
