"""Datasets that could not be loaded or evaluated are not published: the folder is validated before any upload."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from ncfm_hub.errors import DistilledError, PublishError
from ncfm_hub.publishing import push_folder, write_data
from ncfm_hub.publishing.hub.checking import check_folder
from tests.publishing.noise_sets import noise_set, write_folder, write_pool

TENSORS = "distilled.safetensors"
SHARD = "train-00000-of-00001.parquet"


def cut(name: str):
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return damage


def write(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def of_another_set(name: str):
    """The file of a dataset of the same form with other pixels; soft labels are equal."""

    def damage(folder: Path) -> None:
        own = noise_set()
        other = noise_set(seed=1)
        changed = type(own)(**{**vars(other), "soft_labels": own.soft_labels})
        write_data(folder / "x", changed)
        shutil.move(folder / "x" / name, folder / name)
        shutil.rmtree(folder / "x")

    return damage


def described(**changes):
    def damage(folder: Path) -> None:
        content = yaml.safe_load((folder / "pipeline.yaml").read_text())
        (folder / "pipeline.yaml").write_text(yaml.safe_dump(content | changes, sort_keys=False))

    return damage


def link(folder: Path) -> None:
    (folder / TENSORS).rename(folder / ".hidden")
    (folder / TENSORS).symlink_to(".hidden")


CARD = write("README.md", "---\na: [b\n---\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut(TENSORS), f"{TENSORS} cannot be read"),
        (write(TENSORS, "something else"), f"{TENSORS} cannot be read"),
        (remove(TENSORS), f"it has no {TENSORS}"),
        (of_another_set(TENSORS), f"the images in data/ are not those of {TENSORS}"),
        (of_another_set(f"data/{SHARD}"), f"the images in data/ are not those of {TENSORS}"),
        (of_another_set(f"stored/{SHARD}"), f"the images in stored/ are not those of {TENSORS}"),
        (cut(f"data/{SHARD}"), "data cannot be read as parquet"),
        (cut(f"stored/{SHARD}"), "stored cannot be read as parquet"),
        (remove(f"stored/{SHARD}"), "it has no stored/"),
        (write("stored/train-notes.txt", "x"), "train-notes.txt would be loaded with the dataset"),
        (remove("results.json"), "has no results.json; evaluate it with `ncfm-hub evaluate"),
        (write("results.json", "{"), "results.json is not JSON"),
        (write("results.json", '{"rows": [1]}'), "is not as documented"),
        (remove("pipeline.yaml"), "it has no pipeline.yaml"),
        (write("pipeline.yaml", "a: [b"), "pipeline.yaml is not YAML"),
        (described(ipc=3), "pipeline.yaml says ipc 3, and the images have 2"),
        (described(recipe={}), "holds no usable recipe"),
        (CARD, "the header of .*README.md cannot be read .*; mend or remove it"),
        (link, f"{TENSORS} is a link or hidden"),
    ],
)
def test_a_set_that_cannot_be_loaded_is_not_sent(tmp_path, monkeypatch, damage, says):
    monkeypatch.setattr("ncfm_hub.publishing.hub.target.look_at", lambda *_: pytest.fail("the Hub was asked"))
    folder = write_folder(tmp_path / "set", noise_set())
    damage(folder if damage is CARD else folder / "ipc2")
    with pytest.raises(PublishError, match=f"{says}.*; nothing was pushed$") as refused:
        push_folder(folder, "ada/x", token="unused")
    assert "whole" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_stray_file_that_was_moved_away_lets_the_set_be_pushed(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    stray = folder / "ipc2" / "stored" / "train-notes.txt"
    stray.write_text("x")
    with pytest.raises(DistilledError, match=f"{stray.name} would be loaded with the dataset .*; move it away"):
        check_folder(folder, "dataset")
    stray.rename(tmp_path / stray.name)
    assert check_folder(folder, "dataset").held["ipc2"].ipc == 2


def test_a_sound_set_passes_and_so_does_an_import_that_is_not_measured_yet(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    checked = check_folder(folder, "dataset")
    files = {TENSORS, "pipeline.yaml", "results.json", f"data/{SHARD}", f"stored/{SHARD}"}
    assert {f"ipc2/{name}" for name in files} < set(checked.files)
    held = checked.held["ipc2"]
    assert (held.dataset, held.ipc, held.class_names) == (
        "some/insects",
        2,
        ("ant", "bee", "cat"),
    )
    (folder / "ipc2" / "results.json").unlink()
    about = {"file": "x.pt", "sha256": "0" * 64, "soft_labels": True}
    described(imported=about)(folder / "ipc2")
    assert check_folder(folder, "dataset").held["ipc2"].imported == "0" * 64


def first_member_of_another(folder: Path) -> None:
    shutil.copyfile(folder / "00-init.safetensors", folder / "model.safetensors")


def less_of_pool_json(folder: Path) -> None:
    content = json.loads((folder / "pool.json").read_text())
    (folder / "pool.json").write_text(json.dumps(content | {"members": []}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut("00-trained.safetensors"), "00-trained.safetensors"),
        (remove("00-init.safetensors"), "00-init.safetensors"),
        (write("pool.json", "{"), "pool.json is not readable"),
        (less_of_pool_json, "pool.json"),
        (remove("model.safetensors"), "model.safetensors or config.json is not readable by timm"),
        (write("config.json", "{"), "model.safetensors or config.json is not readable by timm"),
        (first_member_of_another, "are not those of the pool's first member"),
    ],
)
def test_a_pool_that_cannot_be_loaded_is_not_sent(tmp_path, monkeypatch, damage, says):
    monkeypatch.setattr("ncfm_hub.publishing.hub.target.look_at", lambda *_: pytest.fail("the Hub was asked"))
    folder = write_pool(tmp_path / "pool", 1)
    damage(folder)
    with pytest.raises(PublishError, match=f"{says}.*; nothing was pushed$"):
        push_folder(folder, "ada/x", token="unused", repo_type="model")
