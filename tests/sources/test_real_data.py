"""Real images: CIFAR-10 whole and in bounds, two label columns, grey JPEG files, 128 px."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources import inspect_source, load_source
from tests.conftest import clean_environment

pytestmark = pytest.mark.slow

CIFAR10 = """
import json, sys, time
from pathlib import Path
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources import load_source
start = time.monotonic()
source = load_source(SourceRecipe(dataset=sys.argv[1]))
images = source.train.images.numpy()
print(json.dumps({
    "seconds": time.monotonic() - start,
    # Not ru_maxrss, which on Linux begins at the size of the process that started this one.
    "megabytes": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024,
    "shape": images.shape,
    "counts": source.train.labels.bincount().tolist(),
    "mean": [float(images[:, c].mean(dtype="float64")) / 255 for c in range(3)],
    "std": [float(images[:, c].std(dtype="float64")) / 255 for c in range(3)],
    "names": source.info.class_names,
}))
"""


def test_cifar10_whole(test_data: Path, tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CIFAR10, str(test_data / "cifar10")],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(child.stdout)
    assert child.stderr == ""  # no bars, no advice from below
    assert found["shape"] == [50_000, 3, 32, 32]
    assert found["counts"] == [5000] * 10
    # As published for the training split.
    np.testing.assert_allclose(found["mean"], [0.49140, 0.48216, 0.44653], atol=1e-4)
    np.testing.assert_allclose(found["std"], [0.24703, 0.24349, 0.26159], atol=1e-4)
    assert found["names"][3] == "cat"
    assert found["megabytes"] < 1500
    assert found["seconds"] < 120  # about 11 s where nothing else runs


def test_cifar100_has_two_label_columns(test_data: Path) -> None:
    folder = str(test_data / "cifar100-subset")
    with pytest.raises(SourceError, match=r"fine_label: ClassLabel of 100, coarse_label: ClassLabel of 20"):
        inspect_source(SourceRecipe(dataset=folder))
    info = inspect_source(SourceRecipe(dataset=folder, label_column="coarse_label"))
    assert len(info.class_names) == 20
    assert (info.train_examples, info.test_examples, info.config) == (10_000, 2_000, "cifar100")


def test_tiny_imagenet_repeats_grey_images(test_data: Path) -> None:
    folder = test_data / "tiny-imagenet-10"
    source = load_source(SourceRecipe(dataset=str(folder), resolution=64, test_split="valid"))
    assert source.train.images.shape == (5000, 3, 64, 64)
    images = source.train.images
    grey = ((images[:, 0] == images[:, 1]) & (images[:, 1] == images[:, 2])).flatten(1).all(1)
    assert 50 < int(grey.sum()) < 100
    assert any("greyscale images are repeated" in note for note in source.notes)


def test_imagenette_at_its_own_size_equals_plain_pillow(test_data: Path) -> None:
    from datasets import load_dataset

    folder = str(test_data / "imagenette-128-subset")
    spec = SourceRecipe(dataset=folder, resolution=128, test_split="validation", classes=["church", "tench"])
    source = load_source(spec)
    assert source.train.images.shape == (400, 3, 128, 128)
    plain = load_dataset(folder, split="validation").filter(lambda row: row["label"] in (0, 4))
    assert source.test.labels.tolist() == [{4: 0, 0: 1}[label] for label in plain["label"]]
    expected = np.stack([np.asarray(row["image"].convert("RGB")) for row in plain]).transpose(0, 3, 1, 2)
    assert (source.test.images.numpy() == expected).all()
