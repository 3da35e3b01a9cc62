"""Each example is short and runs as it says; `make interop` runs those that need packages of their own."""

import re
import runpy
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Picture

from tests.publishing.noise_sets import noise_set, write_folder

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NAMES = ("ant", "bee", "cat")
BY_INTEROP = {"continual_avalanche"}
RUNS = {
    "train": (
        ["SET", "--test", "REAL", "--updates", "2"],
        ["SET", "--test", "REAL", "--updates", "2", "--labels", "hard"],
        ["SET", "--test", "REAL", "--updates", "2", "--no-augment"],
        ["SET", "--test", "REAL", "--updates", "2", "--no-augment", "--labels", "hard"],
    ),
    "architecture_search": (
        ["SET", "--test", "REAL", "--split", "train[:4]", "--updates", "1", "ncfm_convnet3", "test_resnet"],
    ),
    "finetune_timm": (["SET", "test_resnet", "--name", "ipc2", "--no-pretrained", "--epochs", "1", "--save", "FILE"],),
    "numpy_jax": (["SET"], ["SET", "--name", "ipc2"]),
}
SAYS = {
    "train": r"test accuracy \d+\.\d % of 6 images, loss \d",
    "architecture_search": r"1\. \w+: \d+\.\d% of 4 real images\n2\. \w+: ",
    "finetune_timm": r"epoch 1: loss \d",
    "numpy_jax": r"images \(24, 16, 16, 3\) float32, labels \(24,\), soft labels \(24, 3\)\n.*of the 24 images",
}


@pytest.fixture(scope="module")
def places(home: Path) -> dict[str, str]:
    """A distilled dataset, real images of the same classes in another order of labels, and a file to write."""
    distilled = write_folder(home / "set", noise_set(NAMES, side=16))
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (6, 12, 12, 3), dtype=torch.uint8, generator=generator).numpy()
    columns = {"img": [Picture.fromarray(image) for image in pixels], "fine_label": [0, 1, 2, 0, 1, 2]}
    features = Features({"img": Image(), "fine_label": ClassLabel(names=list(reversed(NAMES)))})
    real = Dataset.from_dict(columns, features=features)
    (home / "real" / "data").mkdir(parents=True)
    for split in ("train", "test"):
        real.to_parquet(home / "real" / "data" / f"{split}-00000-of-00001.parquet")
    return {"SET": str(distilled), "REAL": str(home / "real"), "FILE": str(home / "model.safetensors")}


def test_each_example_is_run_by_a_test_and_is_short():
    found = {path.stem: path.read_text().splitlines() for path in EXAMPLES.glob("*.py")}
    assert found.keys() == RUNS.keys() | BY_INTEROP
    assert all(len(lines) < 60 for lines in found.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, runs in RUNS.items() for number in range(len(runs))]
)
def test_an_example_runs(name, number, places, monkeypatch, capsys):
    path = str(EXAMPLES / f"{name}.py")
    monkeypatch.setattr("sys.argv", [path, *(places.get(word, word) for word in RUNS[name][number])])
    runpy.run_path(path, run_name="__main__")
    assert re.search(SAYS[name], capsys.readouterr().out)


def test_the_linear_classifier_of_the_numpy_example_learns(places, monkeypatch):
    path = str(EXAMPLES / "numpy_jax.py")
    monkeypatch.setattr("sys.argv", [path, places["SET"]])
    found = runpy.run_path(path, run_name="__main__")
    distilled = noise_set(NAMES, side=16)
    assert found["soft"].tolist() == distilled.soft_labels.tolist()
    assert found["labels"].tolist() == distilled.labels.tolist()
    chance = abs(distilled.soft_labels.numpy() - 1 / 3).mean()
    assert abs(found["error"]).mean() < chance / 2, "it fits the soft labels better than any constant"
