"""Exports for other benchmarks: the tensors that their loaders expect, and the file that describes them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import load_distilled
from ncfm_hub.publishing.exchange.conventions import convention_of
from ncfm_hub.publishing.exchange.exports import export_set
from tests.publishing.noise_sets import noise_set, write_folder

NAMES = ("ant", "bee", "cat")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "set", noise_set(NAMES), class_ids=[0, 1, 2])


def read(path: Path) -> object:
    return torch.load(path, weights_only=True)


def normalised(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """In float64, channel by channel."""
    pixels = images.numpy().astype(np.float64)
    return np.stack([(pixels[:, c] / 255 - mean[c]) / std[c] for c in range(len(mean))], 1)


def test_dd_ranking_gets_normalised_images_class_by_class_and_logits(folder, tmp_path):
    made, about = export_set(folder, "dd-ranking", tmp_path / "out", mean=MEAN, std=STD)
    distilled = load_distilled(folder)
    images, logits, hard = (read(made / name) for name in ("images.pt", "labels.pt", "hard_labels.pt"))
    assert images.dtype == logits.dtype == torch.float32
    np.testing.assert_allclose(images.numpy(), normalised(distilled.images, MEAN, STD), atol=1e-6)
    assert hard.tolist() == [label for label in range(3) for _ in range(2 * 4)]  # 2 stored, 4 tiles each
    torch.testing.assert_close(softmax(logits, 1), distilled.soft_labels, atol=1e-6, rtol=0)
    assert logits[5, 1].item() == pytest.approx(math.log(distilled.soft_labels[5, 1].item()), abs=1e-6)
    assert json.loads((made / "export.json").read_text()) == about
    assert about["images_per_class"] == about["use"]["ipc"] == 8
    assert about["stored_images_per_class"] == 2
    assert about["class_names"] == list(NAMES)
    assert about["normalised_by"] == {"mean": list(MEAN), "std": list(STD), "origin": "given"}
    assert set(about["files"]) | {"export.json"} == {path.name for path in made.iterdir()}


def test_a_dry_run_describes_the_files_and_writes_none(folder, tmp_path):
    out, about = export_set(folder, "dd-ranking", tmp_path / "out", dry_run=True)
    assert not out.exists()
    assert (out, about) == export_set(folder, "dd-ranking", tmp_path / "out")
    with pytest.raises(DistilledError, match="is not empty"):
        export_set(folder, "dd-ranking", tmp_path / "out", dry_run=True)


def test_a_probability_of_zero_has_a_finite_logit(tmp_path):
    distilled = noise_set(NAMES)
    distilled.soft_labels[0] = torch.tensor([1.0, 0.0, 0.0])
    folder = write_folder(tmp_path / "set", distilled, class_ids=[0, 1, 2])
    made, _ = export_set(folder, "dd-ranking", tmp_path / "out")
    assert read(made / "labels.pt")[0].tolist() == pytest.approx([0.0, math.log(1e-8), math.log(1e-8)])


def test_dc_bench_takes_the_last_pair(folder, tmp_path):
    made, _ = export_set(folder, "dc-bench", tmp_path / "out", mean=MEAN, std=STD)
    images, labels = read(made / "distilled.pt")["data"][-1]  # as its loader of DC, DSA and DM has it
    np.testing.assert_allclose(images.numpy(), normalised(load_distilled(folder).images, MEAN, STD), atol=1e-6)
    assert labels.dtype == torch.int64
    assert labels.tolist() == load_distilled(folder).labels.tolist()


def test_the_figures_of_a_benchmark_are_taken_for_its_own_datasets_only(tmp_path):
    ten = noise_set(tuple(f"class {c}" for c in range(10)), ipc=1, side=32, factor=1)
    folder = write_folder(tmp_path / "set", ten, class_ids=list(range(10)))
    file = folder / "ipc1" / "pipeline.yaml"
    pipeline = file.read_text()
    file.write_text(pipeline.replace("name: insects", "name: cifar10"))
    made, about = export_set(folder, "dd-ranking", tmp_path / "out")
    assert about["dataset"] == "CIFAR10"
    np.testing.assert_allclose(
        read(made / "images.pt").numpy(), normalised(ten.images, CIFAR_MEAN, CIFAR_STD), atol=1e-6
    )
    for ids, channels, resolution in ((range(9), 3, 32), ([1, 0, *range(2, 10)], 3, 32), (range(10), 1, 32)):
        assert convention_of("dc-bench", "cifar10", list(ids), channels, resolution) is None
    assert convention_of("dc-bench", "cifar10", range(10), 3, 64) is None
    assert convention_of("dc-bench", "insects", range(10), 3, 32) is None


def test_images_of_an_unknown_dataset_get_zero_mean_and_unit_deviation(folder, tmp_path):
    made, about = export_set(folder, "dd-ranking", tmp_path / "out")
    images = read(made / "images.pt")
    assert about["dataset"] is None
    assert images.mean((0, 2, 3)).abs().max() < 1e-4
    assert (images.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


@pytest.mark.slow
def test_grey_images_are_repeated_for_dd_ranking_whose_networks_take_three_channels(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set(NAMES, channels=1), class_ids=[0, 1, 2])
    made, about = export_set(folder, "dd-ranking", tmp_path / "out")
    images = read(made / "images.pt")
    assert images.shape == (24, 3, 8, 8)
    assert torch.equal(images[:, 0], images[:, 2])
    assert len(about["normalised_by"]["mean"]) == 1
    made, _ = export_set(folder, "dc-bench", tmp_path / "other")
    assert read(made / "distilled.pt")["data"][-1][0].shape == (24, 1, 8, 8)


def test_equal_sets_give_equal_bytes(folder, tmp_path):
    first, _ = export_set(folder, "dd-ranking", tmp_path / "one")
    second, _ = export_set(folder, "dd-ranking", tmp_path / "two")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_nothing_is_written_over(folder, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(DistilledError, match="not empty; name another folder by --output"):
        export_set(folder, "dd-ranking", taken)
    with pytest.raises(DistilledError, match="is a file"):
        export_set(folder, "dc-bench", taken / "mine.txt")
    assert [path.name for path in taken.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("mean", "std"), [((0.5,), (0.2,)), (MEAN, None), (MEAN, (0.2, 0.0, 0.2)), (MEAN, (52, 50, 5))]
)
def test_figures_that_do_not_fit_are_refused(folder, tmp_path, mean, std):
    with pytest.raises(DistilledError, match="images of 3 channels"):
        export_set(folder, "dd-ranking", tmp_path / "out", mean=mean, std=std)


def test_a_folder_of_others_is_refused(tmp_path):
    with pytest.raises(DistilledError, match=r"has no pipeline\.yaml"):
        export_set(tmp_path, "dd-ranking")
