"""`diff` says what differs and by how much."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml

import ncfm_hub
from ncfm_hub.errors import DistilledError
from tests.publishing.conftest import typed
from tests.publishing.noise_sets import measured, noise_set, tiles, write_folder


def change_pipeline(folder: Path, **recipe: object) -> None:
    content = yaml.safe_load(next(folder.rglob("pipeline.yaml")).read_text())
    content["recipe"]["distillation"] |= recipe
    next(folder.rglob("pipeline.yaml")).write_text(yaml.safe_dump(content, sort_keys=False))


def with_pixels(stored: torch.Tensor):
    return dataclasses.replace(noise_set(), stored=stored, images=tiles(stored, 2).round().to(torch.uint8))


def test_a_dataset_does_not_differ_from_itself(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    found = ncfm_hub.diff(folder, folder)
    assert found["recipe"] == []
    assert found["classes"] == {"a": 3, "b": 3, "only_a": [], "only_b": [], "same_order": True}
    assert found["pixels"] == {
        "compared": 6,
        "differing": 0,
        "mean_absolute_difference": 0.0,
        "largest_difference": 0,
        "cosine": pytest.approx(1.0),
    }
    assert (found["labels"]["compared"], found["labels"]["differing"]) == (24, 0)
    (row,) = found["accuracy"]["rows"]
    assert (row["a"], row["b"], row["difference"]) == (60.0, 60.0, 0.0)


def test_settings_are_compared_by_key(tmp_path):
    one, other = (write_folder(tmp_path / name, noise_set()) for name in "ab")
    change_pipeline(other, steps=300, orthogonal=True)
    found = ncfm_hub.diff(one, other)["recipe"]
    assert {row["key"]: (row["a"], row["b"]) for row in found} == {
        "distillation.steps": (500, 300),
        "distillation.orthogonal": (False, True),
    }


def test_differing_pixels_are_counted_and_averaged(tmp_path):
    stored = noise_set().stored.clone()
    stored[2, 0, 1, 2] ^= 3  # by 1, 2 or 3, whatever is there
    stored[5] = 255 - stored[5]
    apart = (stored.int() - noise_set().stored.int()).abs()
    one = write_folder(tmp_path / "a", noise_set())
    other = write_folder(tmp_path / "b", with_pixels(stored))
    found = ncfm_hub.diff(one, other)["pixels"]
    assert (found["compared"], found["differing"], found["largest_difference"]) == (6, 2, int(apart.max()))
    assert found["mean_absolute_difference"] == pytest.approx(apart.sum().item() / (6 * 3 * 8 * 8))
    a, b = (x.double() - x.double().mean((1, 2, 3), keepdim=True) for x in (noise_set().stored, stored))
    assert found["cosine"] == pytest.approx(float((a * b).sum() / (a.norm() * b.norm())), rel=1e-5)


def test_classes_are_matched_by_name_and_the_smaller_ipc_counts(tmp_path):
    a, b = noise_set(("ant", "bee", "cat"), ipc=2), noise_set(("cat", "dog", "ant"), ipc=3, seed=1)
    found = ncfm_hub.diff(write_folder(tmp_path / "a", a), write_folder(tmp_path / "b", b))
    assert found["classes"] == {"a": 3, "b": 3, "only_a": ["bee"], "only_b": ["dog"], "same_order": False}
    by_hand = (a.stored[[0, 1, 4, 5]].int() - b.stored[[6, 7, 0, 1]].int()).abs()
    assert found["pixels"]["compared"] == 4
    assert found["pixels"]["mean_absolute_difference"] == pytest.approx(by_hand.double().mean().item())
    assert found["labels"] == {"compared": 0, "why": "other classes"}


def test_soft_labels_are_compared_by_class_name(tmp_path):
    a = noise_set(("ant", "bee"), ipc=1, factor=1)
    soft = torch.tensor([[0.25, 0.75], [0.5, 0.5]])  # for cat: bee 0.25, ant 0.75
    a = dataclasses.replace(a, soft_labels=torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    b = dataclasses.replace(noise_set(("bee", "ant"), ipc=1, factor=1), soft_labels=soft)
    found = ncfm_hub.diff(write_folder(tmp_path / "a", a), write_folder(tmp_path / "b", b))["labels"]
    # ant: (0.75, 0.25) against (0.5, 0.5); bee: (0.25, 0.75) against bee 0.25, ant 0.75
    assert (found["compared"], found["differing"], found["most_probable_class_differs"]) == (2, 2, 1)
    assert found["mean_absolute_difference"] == pytest.approx((0.25 + 0.25 + 0.5 + 0.5) / 4)


def test_accuracies_have_the_standard_error_of_their_difference(tmp_path):
    one = write_folder(tmp_path / "a", noise_set(), measured(("random", "hard", 40.0), ("distilled", "hard", 60.0)))
    other = write_folder(tmp_path / "b", noise_set(), measured(("distilled", "hard", 61.0), n=2))
    found = ncfm_hub.diff(one, other)["accuracy"]
    (row,) = found["rows"]
    assert (row["set"], row["difference"]) == ("distilled", 1.0)
    assert row["standard_error"] == pytest.approx((0.3**2 / 5 + 0.3**2 / 2) ** 0.5, abs=1e-3)
    assert found["protocol_differs"] == ["students"]


def test_images_of_other_sizes_are_not_compared(tmp_path):
    one = write_folder(tmp_path / "a", noise_set())
    other = write_folder(tmp_path / "b", noise_set(channels=1))
    assert ncfm_hub.diff(one, other)["pixels"] == {"compared": 0, "why": "images of 3 x 8 x 8 and 1 x 8 x 8 pixels"}


def test_damaged_records_are_errors_of_one_line(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    next(folder.rglob("results.json")).write_text('{"rows": [{"set": "distilled", "labels": "hard", "accuracy": 7}]}')
    with pytest.raises(DistilledError, match=r"results\.json is not as documented"):
        ncfm_hub.diff(folder, folder)


def test_the_command_prints_a_line_a_difference_and_json(tmp_path):
    one, other = write_folder(tmp_path / "a", noise_set()), write_folder(tmp_path / "b", noise_set(seed=1))
    change_pipeline(other, steps=300)
    said = typed(f"ncfm-hub diff {one} {other}")
    assert said.exit_code == 0
    lines = said.stdout.splitlines()
    assert lines[0] == "distillation.steps: 500 -> 300"
    assert "classes: the same 3" in lines
    assert any(line.startswith("stored images: 6 of 6 differ, by ") for line in lines)
    assert lines[-1] == "test acc. %, distilled, hard labels: 60.0 -> 60.0, difference +0.00 (standard error 0.19)"
    found = json.loads(typed(f"ncfm-hub diff {one} {other} --format json").stdout)
    assert found == ncfm_hub.diff(str(one), str(other))
