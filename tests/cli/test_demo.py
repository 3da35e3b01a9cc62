"""The parts of the demo around the main job, which is tested end to end elsewhere."""

import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from ncfm_hub.cli import main
from ncfm_hub.demo import __main__ as demo
from ncfm_hub.publishing import Distilled, decode_stored, write_data
from tests.conftest import clean_environment
from tests.publishing.noise_sets import noise_set, write_folder

README = """---
configs:
- config_name: ipc1
  default: true
  data_files: ipc1/data/train-*.parquet
- config_name: ipc1_stored
  data_files: ipc1/stored/train-*.parquet
---
"""


@pytest.fixture
def published(hub, tmp_path):
    """A distilled dataset of 2 classes x 1 stored image, 4 px, on the hub."""
    stored = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    distilled = Distilled(
        stored=stored,
        stored_labels=torch.tensor([0, 1]),
        images=decode_stored(stored, 2),
        labels=torch.tensor([0] * 4 + [1] * 4),
        soft_labels=torch.full((8, 2), 0.5),
        stored_index=torch.tensor([0] * 4 + [1] * 4, dtype=torch.int32),
        tile=torch.tensor([0, 1, 2, 3] * 2, dtype=torch.int8),
        class_names=("no", "yes"),
        factor=2,
    )
    folder = tmp_path / "made"
    write_data(folder / "ipc1", distilled)
    (folder / "README.md").write_text(README)
    accuracy = {"n": 3, "mean": 91.25, "std": 0.44, "values": []}
    kept = {"random": 2, "start": 2, "distilled": 2, "whole": 900}
    rows = [
        {"set": name, "labels": "hard", "images": 8, "stored_images": count, "accuracy": accuracy}
        for name, count in kept.items()
    ]
    (folder / "ipc1" / "results.json").write_text(json.dumps({"rows": rows}))
    hub.api().create_repo("ada/made", repo_type="dataset")
    hub.api().upload_folder(repo_id="ada/made", repo_type="dataset", folder_path=folder)
    return hub.env


def test_a_process_without_ncfm_hub_loads_both_configs_and_the_figures(published, monkeypatch, tmp_path):
    for name, value in published.items():
        monkeypatch.setenv(name, value)
    found = subprocess.run(demo._consumer("ada/made"), capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "8 images of (4, 4) px, 2 classes" in found.stdout
    assert "'ipc1_stored'): 2 images, 1 of each class" in found.stdout
    assert "91.2 ± 0.4 % (n=3)" in found.stdout
    *_, random, start, distilled, whole, caption = found.stdout.splitlines()
    table = (
        (random, "random real images", 2),
        (start, "initialisation (real tiles)", 2),
        (distilled, "distilled", 2),
        (whole, "full training set", 900),
    )
    for line, name, count in table:
        assert " ".join(line.split()) == f"{name} hard {count} 91.2 ± 0.4 % (n=3)"
    assert "last epoch" in caption
    assert "n students" in caption


def test_the_command_shown_makes_the_folder_and_the_rows_that_the_demo_ends_with(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    command = [word for word in demo._COMMAND if word != "--push"]
    found = CliRunner().invoke(main, [*command, "--dry-run", "--format", "json"])
    assert found.exit_code == 0, found.output
    shown = json.loads(found.stdout)
    assert (shown["output"], shown["name"]) == (demo._RESULT, demo._NAME)
    assert shown["recipe"]["evaluation"]["baselines"] == ["random", "start", "whole"]


def test_the_three_lines_load_the_result_once_the_hub_is_gone(tmp_path):
    folder = write_folder(tmp_path / 'a "set"', noise_set(), class_ids=[0, 1, 2])
    lines = demo._loading(folder)
    assert len(lines.splitlines()) == 3
    env = clean_environment(tmp_path) | {"HF_HUB_OFFLINE": "1"}
    found = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert found.returncode == 0, found.stderr
    assert "size=8x8" in found.stdout


def test_the_demo_replaces_its_own_folder_only(tmp_path):
    own = demo._empty(tmp_path / "demo-run")
    (own / "old").touch()
    assert not (demo._empty(own) / "old").exists()
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="not of an earlier demo"):
        demo._empty(foreign)
    assert (foreign / "thesis.tex").exists()


_APART = """
import os, sys
from pathlib import Path
from ncfm_hub.demo.__main__ import _settings
folder = Path(sys.argv[1])
os.environ.update(_settings(folder))
from datasets import config
from huggingface_hub import HfApi, constants
from ncfm_hub.localhub import User, running
with running(folder / "hub", users=[User("demo", "demo-token")]) as hub:
    api = HfApi(endpoint=hub.url, token="demo-token")
    api.create_repo("demo/large", repo_type="dataset")
    api.upload_file(repo_id="demo/large", repo_type="dataset", path_in_repo="a.parquet", path_or_fileobj=b"a" * 99)
print(constants.HF_HUB_CACHE, constants.HF_XET_CACHE, config.HF_DATASETS_CACHE, sep="\\n")
print(os.environ["NO_PROXY"], os.environ["no_proxy"], sep="\\n")
"""


@pytest.mark.slow
def test_neither_a_proxy_nor_caches_of_the_user_touch_the_demo(tmp_path):
    nobody = "http://127.0.0.1:9"
    schemes = ("http", "https", "all")
    proxies = {f"{name.upper()}_PROXY": nobody for name in schemes} | {f"{name}_proxy": nobody for name in schemes}
    caches = {f"HF_{name}_CACHE": str(tmp_path / "mine") for name in ("HUB", "XET", "DATASETS")}
    env = clean_environment(tmp_path) | proxies | caches | {"NO_PROXY": "intranet", "no_proxy": " .lab, intranet"}
    command = [sys.executable, "-c", _APART, tmp_path / "run"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=100)
    assert found.returncode == 0, found.stderr
    *folders, upper, lower = found.stdout.splitlines()[-5:]
    assert folders == [str(tmp_path / "run" / "hf" / name) for name in ("hub", "xet", "datasets")]
    assert upper == lower == "intranet,.lab,127.0.0.1,localhost"
