"""The data files: exact to the pixel, loadable without ncfm_hub, rejected if malformed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import Distilled, decode_stored, load_distilled, write_data
from ncfm_hub.utils.files import sha256_file
from tests.publishing.noise_sets import NASTY, noise_set, tiles, write_folder

LOAD = """
from datasets import load_dataset
import numpy as np
where, called, found = sys.argv[1], sys.argv[2], {}
for config in ("default", "stored"):
    for streaming in (False, True):
        named = called if config == "default" else f"{called}_stored"
        rows = load_dataset(where, named, split="train", streaming=streaming)
        columns = {name: [] for name in rows.features}
        for row in rows:
            for name, value in row.items():
                columns[name].append(np.asarray(value).tolist() if name == "image" else value)
        modes = sorted({row["image"].mode + row["image"].format for row in rows})
        found[f"{config} {streaming}"] = {
            "columns": columns, "names": rows.features["label"].names, "features": str(rows.features), "modes": modes}
found["no config named"] = load_dataset(where, split="train").column_names
answer(found)
"""


def check_loaded(found: dict, distilled: Distilled) -> None:
    channels = distilled.stored.shape[1]
    for streaming in (False, True):
        default, stored = found[f"default {streaming}"], found[f"stored {streaming}"]
        for part, images, labels in (
            (default, distilled.images, distilled.labels),
            (stored, distilled.stored, distilled.stored_labels),
        ):
            pixels = images.permute(0, 2, 3, 1).numpy()
            assert np.array_equal(np.array(part["columns"]["image"]), pixels[..., 0] if channels == 1 else pixels)
            assert part["columns"]["label"] == labels.tolist()
            assert part["names"] == list(distilled.class_names)
            assert part["modes"] == ["LPNG" if channels == 1 else "RGBPNG"]
        soft = np.array(default["columns"]["soft_label"], dtype=np.float32)
        assert np.array_equal(soft, distilled.soft_labels.numpy())
        assert default["columns"]["stored_index"] == distilled.stored_index.tolist()
        assert default["columns"]["tile"] == distilled.tile.tolist()
        assert stored["columns"]["index"] == list(range(len(distilled.stored)))
        assert f"List(Value('float32'), length={len(distilled.class_names)})" in default["features"]
        assert "'stored_index': Value('int32')" in default["features"]
        assert "'tile': Value('int8')" in default["features"]
    assert found["no config named"] == ["image", "label", "soft_label", "stored_index", "tile"]


def test_a_clean_process_loads_both_configs_of_a_folder_exactly(tmp_path, client):
    distilled = noise_set(NASTY)  # names that could break the card's header
    folder = write_folder(tmp_path / "set", distilled)
    check_loaded(client(LOAD, {"HF_HUB_OFFLINE": "1"}, folder, "ipc2", ours=False), distilled)


def test_grey_sets_stay_grey(tmp_path, client):
    distilled = noise_set(tuple("0123456789ab"), channels=1, factor=1)  # ten and more: '10' sorts before '2'
    folder = write_folder(tmp_path / "set", distilled)
    check_loaded(client(LOAD, {"HF_HUB_OFFLINE": "1"}, folder, "ipc2", ours=False), distilled)


def test_the_safetensors_file_says_all_it_needs(tmp_path):
    distilled = noise_set()
    write_data(tmp_path, distilled)
    tensors = load_file(tmp_path / "distilled.safetensors")
    assert {key: value.dtype for key, value in tensors.items()} == {
        "images": torch.uint8,
        "labels": torch.int64,
        "soft_labels": torch.float32,
    }
    assert torch.equal(tensors["images"], distilled.stored)
    header_length = int.from_bytes((tmp_path / "distilled.safetensors").read_bytes()[:8], "little")
    header = json.loads((tmp_path / "distilled.safetensors").read_bytes()[8 : 8 + header_length])
    about = json.loads(header["__metadata__"]["ncfm_hub"])
    assert about == {"version": 1, "factor": 2, "class_names": ["ant", "bee", "cat"]}


def test_the_same_set_gives_the_same_bytes_and_replaces_older_shards(tmp_path):
    stale = tmp_path / "one" / "data" / "train-00000-of-00002.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier run")
    for name in ("one", "two"):
        write_data(tmp_path / name, noise_set())
    files = {p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file()}
    assert {str(f) for f in files} == {
        "data/train-00000-of-00001.parquet",
        "stored/train-00000-of-00001.parquet",
        "distilled.safetensors",
    }
    for file in files:
        assert sha256_file(tmp_path / "one" / file) == sha256_file(tmp_path / "two" / file)


def test_load_distilled_gives_back_what_was_written(tmp_path):
    distilled = noise_set(NASTY, channels=1)
    write_data(tmp_path, distilled)
    again = load_distilled(tmp_path)
    for field in dataclasses.fields(Distilled):
        one, other = getattr(distilled, field.name), getattr(again, field.name)
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_decoding_equals_cutting_by_hand(factor):
    stored = noise_set(side=8).stored
    decoded = decode_stored(stored, factor)
    assert decoded.dtype == torch.uint8
    assert decoded.shape == (6 * factor**2, 3, 8, 8)
    # Half way between two values, either is right.
    assert (decoded - tiles(stored, factor)).abs().max() < 0.5 + 1e-3


def test_a_factor_that_does_not_fit_is_named():
    with pytest.raises(DistilledError, match=r"8 x 8 pixels cannot be cut into 3 x 3 .* multiple of the factor 3"):
        decode_stored(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 3)


def test_as_torch_dataset_and_as_array():
    distilled = noise_set()
    dataset = distilled.to_torch()
    image, label = dataset[5]
    assert len(dataset) == 24
    assert dataset.targets == distilled.labels.tolist()
    assert all(type(target) is int for target in dataset.targets)
    assert type(label) is int
    assert image.dtype == torch.float32
    assert torch.equal((image * 255).round().to(torch.uint8), distilled.images[5])
    images, labels = distilled.as_array("stored")
    assert images.shape == (6, 8, 8, 3)
    assert images.dtype == np.uint8
    assert images[4, 1, 2, 0] == distilled.stored[4, 0, 1, 2]
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"class_names": ("ant", "bee", "ant")}, "same name 'ant'"),
        ({"stored_labels": torch.tensor([0, 0, 1, 2, 2, 2])}, "same number of images"),
        ({"soft_labels": torch.full((24, 3), float("nan"))}, "not probabilities"),
        ({"soft_labels": torch.zeros(24, 4)}, r"soft_labels .*expected torch.float32 \(24, 3\)"),
        ({"images": torch.zeros(24, 3, 8, 8)}, "images is torch.float32"),
        ({"tile": torch.zeros(24, dtype=torch.int8)}, "tile does not count"),
    ],
)
def test_a_set_that_contradicts_itself_cannot_be_made(change, says):
    with pytest.raises(DistilledError, match=says):
        dataclasses.replace(noise_set(), **change)


def rewrite(folder: Path, **metadata: str) -> None:
    path = folder / "distilled.safetensors"
    save_file(load_file(path), path, metadata=metadata or None)


def test_folders_of_others_are_refused_by_name(tmp_path):
    def refused(says: str) -> None:
        with pytest.raises(DistilledError, match=says):
            load_distilled(tmp_path)

    refused("is not a distilled dataset of ncfm-hub: it has no distilled.safetensors")
    write_data(tmp_path, noise_set())
    rewrite(tmp_path)
    refused("does not say that it is a distilled dataset")
    rewrite(tmp_path, ncfm_hub='{"version": 2, "factor": 2, "class_names": ["a"]}')
    refused("has format 2; this version of ncfm-hub reads format 1")
    rewrite(tmp_path, ncfm_hub='{"version": 1, "factor": 99, "class_names": ["a", "b", "c"]}')
    refused(r"expected torch.uint8 \(58806, 3, 8, 8\)")  # and nothing of that size was made
    write_data(tmp_path, dataclasses.replace(noise_set(), soft_labels=torch.full((24, 3), 1 / 3)))
    mixed = (tmp_path / "distilled.safetensors").read_bytes()
    write_data(tmp_path, noise_set())
    (tmp_path / "distilled.safetensors").write_bytes(mixed)
    refused("the folder mixes two runs")
    shard = tmp_path / "data" / "train-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    refused("cannot be read as parquet")
    shard.unlink()
    refused("it has no data/")


@pytest.mark.parametrize("named", ["./nowhere", "/no/such/place", "one-word", "a/b/c/d"])
def test_what_is_neither_folder_nor_repository_is_said_at_once(named):
    with pytest.raises(DistilledError, match="neither a folder nor a repository id"):
        load_distilled(named)
