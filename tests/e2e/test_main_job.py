"""The main job end to end, and what a third party then finds on the Hub."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import LiveHub
from tests.e2e.people import MakePerson, Person
from tests.e2e.seeding import upload_folder

ARGV = ["distill", "--dataset", "cifar100", "--ipc", "50", "--push"]
CLASSES, IPC, TILES, SIDE = 100, 50, 4, 16
STRANGER = Path(__file__).with_name("stranger.py")
# A user's own defaults: everything the run does stays, only small. The images too, as a step sees 20,000 of them,
# decoded, whatever else is said.
DEFAULTS = f"""
source: {{resolution: {SIDE}}}
pool: {{backbone: test_resnet, size: 1, epochs: 1, batch_size: 250}}
distillation: {{steps: 1, real_batch: 8, frequencies: 64, images_at_once: 8}}
evaluation: {{students: 1, updates: 5, batch_size: 20, soft_labels: false}}
engine: {{compile: "off"}}
"""


class Job:
    """The run and what was seen of it."""

    def __init__(self, user: Person, stranger: Person, hub: LiveHub, data: Path):
        self.revision = upload_folder(data / "cifar100-subset", "uoft-cs/cifar100", hub)
        self.user, self.ended = user, user.done(*ARGV)
        self.folder = user.folder / "cifar100-ncfm"
        seen = stranger.run([sys.executable, "-I", STRANGER, "ada/cifar100-ncfm", "ipc50"])
        assert seen.returncode == 0, seen.stderr
        self.seen: dict[str, Any] = json.loads(seen.stdout)


@pytest.fixture(scope="module")
def job(town: LiveHub, somebody: MakePerson, test_data: Path) -> Job:
    stranger = somebody(HF_ENDPOINT=town.hub.url, HF_DATASETS_DISABLE_PROGRESS_BARS="1")  # without a token
    return Job(somebody(DEFAULTS, **town.env), stranger, town, test_data)


def test_the_command_says_what_came_of_it(job: Job, town: LiveHub) -> None:
    out = job.ended.stdout
    for text in ("random real images", "initialisation (real tiles)", "distilled", str(job.folder.name), "preview.png"):
        assert text in out
    assert f"{town.hub.url}/datasets/ada/cifar100-ncfm" in out
    assert "fewer training images than the 200 needed, the smallest 100: sampled with replacement" in job.ended.stderr
    assert len(job.ended.stderr.splitlines()) < 30, "a line for each of a hundred classes would help nobody"


def test_the_folder_is_whole_and_nothing_is_left_over(job: Job) -> None:
    shown = {path.relative_to(job.folder).as_posix() for path in job.folder.rglob("*") if path.is_file()}
    assert {name for name in shown if not name.startswith("ipc50/.ncfm/")} == {
        "README.md",
        "ipc50/data/train-00000-of-00001.parquet",
        "ipc50/distilled.safetensors",
        "ipc50/pipeline.yaml",
        "ipc50/preview.png",
        "ipc50/results.json",
        "ipc50/stored/train-00000-of-00001.parquet",
    }
    assert not [name for name in shown if name.endswith(".part")]


def test_a_stranger_gets_both_configs_with_names_types_and_counts(job: Job) -> None:
    default, stored = job.seen["default"], job.seen["stored"]
    assert default["rows"] == CLASSES * IPC * TILES
    assert stored["rows"] == CLASSES * IPC
    assert default["features"] == {
        "image": "Image",
        "label": "ClassLabel",
        "soft_label": ["List", CLASSES, "float32"],
        "stored_index": "int32",
        "tile": "int8",
    }
    assert stored["features"]["image"] == "Image"
    assert stored["features"]["label"] == "ClassLabel"
    assert set(stored["features"]) == {"image", "label", "index"}
    # The fine labels of the source, in the source's order.
    assert default["names"] == stored["names"]
    assert len(default["names"]) == CLASSES
    assert default["names"][:3] + default["names"][-1:] == ["apple", "aquarium_fish", "baby", "worm"]
    assert default["labels"] == [label for label in range(CLASSES) for _ in range(IPC * TILES)]
    assert stored["labels"] == [label for label in range(CLASSES) for _ in range(IPC)]
    assert default["sizes"] == stored["sizes"] == [[SIDE, SIDE, "RGB", "PNG"]]


def test_rows_point_to_the_image_and_tile_they_were_cut_from(job: Job) -> None:
    assert job.seen["default"]["stored_index"] == [row // TILES for row in range(CLASSES * IPC * TILES)]
    assert job.seen["default"]["tile"] == [row % TILES for row in range(CLASSES * IPC * TILES)]


def test_soft_labels_are_probabilities(job: Job) -> None:
    low, high = job.seen["soft_label_sums"]
    assert low == pytest.approx(1, abs=1e-5)
    assert high == pytest.approx(1, abs=1e-5)
    assert job.seen["soft_label_least"] >= 0


def test_pixels_are_those_of_the_tensors(job: Job) -> None:
    assert job.seen["stored_equal"] is True
    assert job.seen["soft_labels_equal"] is True
    # Against formulas of the stranger's own, exact: rounding to the nearest is never further away than a half.
    assert 0 < job.seen["decoded_off_by"] <= 0.5


def test_images_were_distilled_not_merely_drawn(job: Job) -> None:
    results = json.loads((job.folder / "ipc50" / "results.json").read_text())
    assert results["distillation"]["steps"] == 1
    assert [(row["set"], row["labels"], row["images"], row["stored_images"]) for row in results["rows"]] == [
        ("random", "hard", 5000, 5000),
        ("start", "hard", 20000, 5000),
        ("distilled", "hard", 20000, 5000),
    ]
    start, distilled = results["rows"][1]["accuracy"]["values"], results["rows"][2]["accuracy"]["values"]
    assert start != distilled


def test_the_card_keeps_what_makes_the_dataset_load(job: Job) -> None:
    card = job.seen["card"]
    assert card == (job.folder / "README.md").read_text(), "the folder's card is the repository's"
    header = yaml.safe_load(card.split("---\n")[1])
    assert {config["config_name"] for config in header["configs"]} == {"ipc50", "ipc50_stored"}
    counts = {
        info["config_name"]: {split["name"]: split["num_examples"] for split in info["splits"]}
        for info in header["dataset_info"]
    }
    assert counts == {"ipc50": {"train": 20000}, "ipc50_stored": {"train": 5000}}
    assert "uoft-cs/cifar100" in str(header["source_datasets"])
    assert header["license"] in ("unknown", ["unknown"]), "the source's own"


def test_provenance_is_pinned(job: Job) -> None:
    described = yaml.safe_load((job.folder / "ipc50" / "pipeline.yaml").read_text())
    source = described["source"]
    assert (source["dataset"], source["config"], source["revision"]) == ("uoft-cs/cifar100", "cifar100", job.revision)
    assert (source["image_column"], source["label_column"]) == ("img", "fine_label")
    assert (source["train_count"], source["test_count"]) == (10000, 2000)
    assert described["recipe"]["distillation"]["steps"] == 1, "the user's defaults had their say"
    assert job.revision[:12] in job.seen["card"]


def test_what_was_published_is_made_again_from_the_hub_byte_for_byte(job: Job) -> None:
    """By its own record: without the user's defaults, which say the same, and are of no account."""
    settings = {"NCFM_HUB_CONFIG": ""}
    ended = job.user.done("reproduce", "ada/cifar100-ncfm/ipc50@main", "--format", "json", **settings)
    found = json.loads(ended.stdout)
    assert found["ok"]
    assert {check["outcome"] for check in found["checks"]} == {"passed"}
    assert "byte for byte: 5,000 stored images" in next(c["found"] for c in found["checks"] if c["name"] == "images")
