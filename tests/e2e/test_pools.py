"""A pool is trained once and used from the cache, from the Hub and by timm; and a push that fails half-way."""

import json
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from ncfm_hub.extractors.pool import read_pool
from ncfm_hub.sources import packaged_digits
from tests.conftest import LiveHub
from tests.e2e.conftest import READING, WRITING
from tests.e2e.people import MakePerson, Person, error_line
from tests.e2e.seeding import upload_folder

POOL, SET, UNLUCKY = "ada/digits-ncfm-pool", "ada/digits-ncfm", "ada/unlucky"
TIMM_USER = Path(__file__).with_name("timm_user.py")
NARROW = "convnet-d3-w32-instance-relu-avg"
DEFAULTS = f"""
pool: {{backbone: {NARROW}, size: 2, epochs: 1}}
distillation: {{steps: 2, real_batch: 16, frequencies: 64, images_at_once: 32}}
evaluation: {{students: 1, updates: 5, baselines: [random, start]}}
engine: {{compile: "off"}}
"""
_DIGITS = ("distill", "--dataset", "digits")


class Story:
    """ada trains and pushes a pool; then three people work with it, two of them at a time."""

    def __init__(self, hub: LiveHub, somebody: MakePerson):
        upload_folder(packaged_digits(), "ada/digits", hub)
        self.hub = hub
        self.ada, self.guest, self.reader = (
            somebody(DEFAULTS, **settings) for settings in (hub.env, hub.env, hub.reader)
        )
        self.said: dict[str, CompletedProcess[str]] = {}
        # HF_DEBUG makes the Hub's client log every request.
        self._type("pretrain", self.ada, "pretrain", "--dataset", "digits", "--push", "--format", "json", debug="1")
        with ThreadPoolExecutor(2) as workers:
            for done in [workers.submit(self._cache_and_bad_luck), workers.submit(self._pool_of_the_hub)]:
                done.result()

    def _type(self, what: str, person: Person, *arguments: str | Path, debug: str = "0") -> CompletedProcess[str]:
        self.said[what] = ended = person.ncfm(*arguments, HF_DEBUG=debug)
        return ended

    def _cache_and_bad_luck(self) -> None:
        self.hub.hub.inject("POST", f"/api/datasets/{UNLUCKY}/commit", 501)  # will not pass: it is not tried again
        unlucky = self._type(
            "unlucky", self.ada, *_DIGITS, "--ipc", "2", "--seed", "1", "--push", "--private", "--repo-id", UNLUCKY
        )
        _, _, printed = unlucky.stderr.partition("push it again with: ")
        program, *arguments = shlex.split(printed)
        assert program == "ncfm-hub"
        self.files_after_bad_luck = self.repo_files(UNLUCKY)
        self._type("pushed again", self.ada, *arguments)

    def _pool_of_the_hub(self) -> None:
        self.said["timm"] = self.reader.python(TIMM_USER, POOL)
        self.hub.hub.inject("POST", f"/api/datasets/{SET}/commit", 503)
        self.hub.hub.inject("POST", f"/api/datasets/{SET}/commit", "drop-after")
        self._type("distill", self.guest, *_DIGITS, "--ipc", "1", "--pool", POOL, "--push")
        fewer = ["--set", "evaluation.updates=3", "--students", "2", "--format", "json"]
        self._type("evaluate", self.reader, "evaluate", SET, *fewer)
        self._type("preview", self.reader, "preview", SET, "--token", READING)

    def repo_files(self, repo_id: str, repo_type: str = "dataset") -> set[str]:
        found = self.hub.api().list_repo_files(repo_id, repo_type=repo_type)
        return set(found) - {".gitattributes"}

    def json(self, what: str) -> dict[str, Any]:
        ended = self.said[what]
        assert ended.returncode == 0, ended.stderr
        value: dict[str, Any] = json.loads(ended.stdout)
        return value


@pytest.fixture(scope="module")
def story(town: LiveHub, somebody: MakePerson) -> Story:
    return Story(town, somebody)


def test_pretrain_pushes_a_model_repository_with_a_card(story: Story, tmp_path: Path) -> None:
    pool = story.json("pretrain")
    assert (pool["members"], pool["repo"]["repo_id"]) == (2, POOL)
    assert story.repo_files(POOL, "model") == {
        "README.md", "config.json", "model.safetensors", "pool.json",
        "00-init.safetensors", "00-trained.safetensors", "01-init.safetensors", "01-trained.safetensors",
    }  # fmt: skip
    _, header, text = Path(pool["folder"], "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert (card["library_name"], card["pipeline_tag"]) == ("timm", "image-classification")
    assert f'timm.create_model("hf-hub:{POOL}", pretrained=True)' in text
    assert f"--pool {POOL}" in text
    for member in pool["accuracy"]:
        assert list(member) == ["0.0", "0.25", "0.5", "0.75", "1.0"]
        assert f"{member['0.0']:.1f}" in text
    assert story.hub.api().model_info(POOL).sha == pool["repo"]["revision"]


def test_timm_loads_the_pool_from_the_hub(story: Story) -> None:
    seen, pool = story.json("timm"), story.json("pretrain")
    assert (seen["classes"], seen["same_weights"]) == (10, True)
    one_image = 100 / 360
    assert seen["accuracy"] == pytest.approx(pool["accuracy"][0]["0.0"], abs=1.5 * one_image)


def test_another_ipc_and_seed_take_the_pool_from_the_cache(story: Story) -> None:
    stderr = story.said["unlucky"].stderr
    assert "distilling: 2/2" in stderr
    assert "pretraining" not in stderr
    described = yaml.safe_load((story.ada.folder / "digits-ncfm" / "ipc2" / "pipeline.yaml").read_text())
    assert (described["ipc"], described["seed"]) == (2, 1)
    assert described["pool"]["origin"] == "cache"
    assert described["pool"]["key"] == story.json("pretrain")["key"]
    assert len(list((story.ada.cache / "pools").iterdir())) == 1


def test_a_pool_of_the_hub_is_used_as_it_is(story: Story) -> None:
    ended = story.said["distill"]
    assert ended.returncode == 0, ended.stderr
    assert "pretraining" not in ended.stderr
    assert not (story.guest.cache / "pools").exists()
    described = yaml.safe_load((story.guest.folder / "digits-ncfm" / "ipc1" / "pipeline.yaml").read_text())
    assert described["pool"] == {
        "key": story.json("pretrain")["key"],
        "digest": read_pool(Path(story.json("pretrain")["folder"]), "the cache").digest,
        "classes": 10,
        "architecture": NARROW,
        "members": 2,
        "pretrained": None,
        "origin": f"{POOL}@{story.json('pretrain')['repo']['revision']}",
        "trained_by_this_recipe": False,
    }


def test_a_busy_hub_and_a_dropped_connection_are_tried_again(story: Story) -> None:
    stderr = story.said["distill"].stderr
    assert stderr.count("trying again in") == 2
    assert "503" in stderr
    assert {"README.md", "ipc1/distilled.safetensors", "ipc1/results.json"} < story.repo_files(SET)


def test_a_failed_push_leaves_the_result_and_says_how_to_push_it(story: Story) -> None:
    unlucky = story.said["unlucky"]
    assert unlucky.returncode == 1
    line = error_line(unlucky)
    assert UNLUCKY in line
    assert "501" in line
    assert story.files_after_bad_luck == set(), "one commit, or nothing"
    again = story.said["pushed again"]
    assert again.returncode == 0, again.stderr
    folder = story.ada.folder / "digits-ncfm"
    assert story.repo_files(UNLUCKY) == {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    assert story.hub.api().dataset_info(UNLUCKY).private is True


def test_evaluate_measures_a_repository_anew(story: Story) -> None:
    results = story.json("evaluate")
    published = json.loads((story.guest.folder / "digits-ncfm" / "ipc1" / "results.json").read_text())
    assert [(row["set"], row["labels"], row["images"]) for row in results["rows"]] == [
        ("random", "hard", 10),
        ("random", "soft", 10),
        ("start", "hard", 40),
        ("distilled", "hard", 40),
        ("distilled", "soft", 40),
    ]
    assert [(row["set"], row["labels"]) for row in published["rows"]] == [
        (row["set"], row["labels"]) for row in results["rows"]
    ]
    for row in results["rows"]:
        assert row["accuracy"]["n"] == 2
        assert all(0 <= value <= 100 for value in row["accuracy"]["values"])
    assert (results["protocol"]["updates"], results["protocol"]["test_images"]) == (3, 360)
    assert published["protocol"]["updates"] == 5


def test_preview_draws_a_repository(story: Story) -> None:
    ended = story.said["preview"]
    assert ended.returncode == 0, ended.stderr
    drawn = story.reader.folder / "preview.png"
    assert ended.stdout == "preview.png\n"
    assert drawn.read_bytes() == (story.guest.folder / "digits-ncfm" / "ipc1" / "preview.png").read_bytes()
    assert "prefer HF_TOKEN" in ended.stderr


def test_tokens_are_nowhere(story: Story) -> None:
    """Not in what was printed, the Hub client's own log included, nor in any file on either side."""
    assert "authorization" in story.said["pretrain"].stderr.lower(), "requests were logged"
    for token in (WRITING, READING):
        for what, ended in story.said.items():
            assert token not in ended.stdout + ended.stderr, what
        people = (story.ada, story.guest, story.reader)
        for place in [story.hub.root, *(folder for person in people for folder in (person.folder, person.home))]:
            holding = [path for path in place.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
            assert holding == []
