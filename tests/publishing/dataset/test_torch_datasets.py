"""A distilled dataset as a torch dataset, plain and augmented as its numbers were measured."""

import dataclasses
import json

import pytest
import torch
import yaml
from torch.utils.data import DataLoader, Subset

from ncfm_hub import load_distilled
from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.augmentation import TrainingAugmentation, read_augmentation
from tests.publishing.noise_sets import described, measured, noise_set, write_folder

PLAIN = TrainingAugmentation(dsa=False, flip=False, cutmix=0.0)


def augmented(**how: object):
    """A dataset of noise that is augmented only by what is named."""
    return dataclasses.replace(noise_set(), augmentation=dataclasses.replace(PLAIN, **how))


def test_items_have_soft_labels_and_targets_stay_integers():
    distilled = noise_set()
    dataset = distilled.to_torch(soft_labels=True)
    image, label = dataset[5]
    assert torch.equal((image * 255).round().to(torch.uint8), distilled.images[5])
    assert torch.equal(label, distilled.soft_labels[5])
    assert dataset.targets == distilled.labels.tolist()
    images, labels = next(iter(DataLoader(dataset, batch_size=24)))
    assert images.shape == (24, 3, 8, 8)
    assert torch.equal(labels, distilled.soft_labels)


def test_stored_images_have_no_soft_labels():
    with pytest.raises(DistilledError, match="stored images have no soft labels"):
        noise_set().to_torch("stored", soft_labels=True)


@pytest.mark.parametrize("soft", [False, True])
def test_without_any_augmentation_recorded_pixels_and_labels_are_the_datasets(soft):
    distilled = augmented()
    dataset = distilled.to_torch(soft_labels=soft, augment=True)
    images, labels = next(iter(DataLoader(dataset, batch_size=24)))
    assert torch.equal((images * 255).round().to(torch.uint8), distilled.images)
    expected = distilled.soft_labels if soft else torch.eye(3)[distilled.labels]
    assert torch.equal(labels, expected)
    assert dataset.targets == distilled.labels.tolist()


def test_mean_and_deviation_are_those_of_the_images():
    distilled = augmented()
    dataset = distilled.to_torch(augment=True)
    pixels = distilled.images.double() / 255
    torch.testing.assert_close(dataset.mean.flatten().double(), pixels.mean((0, 2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(dataset.std.flatten().double(), pixels.std((0, 2, 3)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("augment", [False, True])
def test_recorded_mean_and_deviation_are_those_to_normalise_by(tmp_path, augment):
    folder = write_folder(tmp_path / "set", noise_set(), mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    dataset = load_distilled(folder).to_torch(augment=augment)
    assert torch.equal(dataset.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    assert torch.equal(dataset.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))
    images = torch.stack([dataset[row][0] for row in range(3)])
    assert images.shape == ((images - dataset.mean) / dataset.std).shape


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0.5] * 3, [0.0, 0.5, 0.5]),
        ([0.5] * 3, [0.5] * 2),
        ([0.5], [0.5]),
        ([0.5, 0.5, float("nan")], [0.5] * 3),
        ([0.5] * 3, [10**400, 0.5, 0.5]),
        (["x"] * 3, [0.5] * 3),
        (0.5, 0.5),
        ([0.5] * 3, None),
    ],
)
def test_what_cannot_be_mean_and_deviation_of_these_images_is_not_used(tmp_path, mean, std):
    folder = write_folder(tmp_path / "set", noise_set(), mean=mean, std=std)
    dataset, own = load_distilled(folder).to_torch(), noise_set().to_torch()
    assert torch.equal(dataset.mean, own.mean)
    assert torch.equal(dataset.std, own.std)


def test_cutmix_mixes_labels_as_it_mixes_pixels():
    """Images of one colour per class: the share of pixels of each colour is the label."""
    distilled = augmented(cutmix=1.0)
    levels = torch.tensor([0, 100, 200], dtype=torch.uint8)
    images = levels[distilled.labels][:, None, None, None].expand_as(distilled.images).clone()
    dataset = dataclasses.replace(distilled, images=images).to_torch(augment=True)
    torch.manual_seed(0)
    mixed = 0
    for _ in range(5):
        for image, label in dataset.__getitems__(list(range(24))):
            pixels = (image[0] * 255).round()
            share = torch.stack([(pixels == level).float().mean() for level in levels])
            torch.testing.assert_close(share, label, atol=1e-6, rtol=0)
            mixed += int(label.max() < 1)
    assert mixed > 20


def test_dsa_changes_pixels_and_no_labels_and_fills_with_the_mean_colour():
    distilled = augmented(dsa=True)
    dataset = distilled.to_torch(soft_labels=True, augment=True)
    torch.manual_seed(0)
    filled = 0
    for _ in range(10):
        images, labels = (torch.stack(some) for some in zip(*dataset.__getitems__(list(range(24))), strict=True))
        assert torch.equal(labels, distilled.soft_labels)
        assert not torch.allclose(images, distilled.images.float() / 255, atol=1e-3)
        filled += int(((images - dataset.mean).abs() < 1e-6).all(1).any())
    assert filled > 0


def test_flips_follow_the_record():
    """Images whose left half is bright: with no other geometry than a crop by at most a pixel, the halves tell."""
    left = torch.zeros(24, 3, 8, 8, dtype=torch.uint8)
    left[..., :4] = 255

    def bright_on_the_left(flip: bool) -> int:
        distilled = dataclasses.replace(augmented(dsa=True, flip=flip), images=left)
        dataset = distilled.to_torch(augment=True)
        torch.manual_seed(0)
        images = torch.stack([image for _ in range(4) for image, _ in dataset.__getitems__(list(range(24)))])
        gray = images.mean(1)
        return int((gray[..., 1:3].mean((1, 2)) > gray[..., 5:7].mean((1, 2))).sum())

    assert bright_on_the_left(flip=False) == 96
    assert 30 < bright_on_the_left(flip=True) < 66


def test_draws_follow_torchs_seed_and_subsets_are_augmented_by_batch():
    dataset = augmented(dsa=True, cutmix=1.0).to_torch(augment=True)

    def batch(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        images, labels = next(iter(DataLoader(Subset(dataset, range(12)), batch_size=12)))
        assert (labels.max(1).values < 1).any(), "CutMix found partners, so the batch came as one"
        return images

    assert torch.equal(batch(3), batch(3))
    assert not torch.equal(batch(3), batch(4))
    assert dataset[0][0].shape == (3, 8, 8)


def test_the_augmentation_is_that_of_the_measurement(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    content = described(noise_set())
    content["recipe"]["source"]["flip"] = False
    content["recipe"]["evaluation"] |= {"cutmix": 0.25, "augment": True}
    path = next(folder.rglob("pipeline.yaml"))
    path.write_text(yaml.safe_dump(content))
    assert load_distilled(folder).augmentation == TrainingAugmentation(dsa=True, flip=False, cutmix=0.25)
    results = measured(("distilled", "hard", 60.0))
    results["protocol"]["recipe"] = {"cutmix": 0.0, "augment": False, "flip": True}
    path.with_name("results.json").write_text(json.dumps(results))
    assert load_distilled(folder).augmentation == TrainingAugmentation(dsa=False, flip=True, cutmix=0.0)


@pytest.mark.parametrize("value", ["many", -1, 7.5, 10**400, None, [0.5], float("nan")])
def test_numbers_of_strangers_are_no_probabilities(tmp_path, value):
    results = {"protocol": {"recipe": {"cutmix": value, "flip": value, "augment": value}}}
    (tmp_path / "pipeline.yaml").write_text("name: x\nrecipe: {}\n")
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert read_augmentation(tmp_path) == TrainingAugmentation()
    (tmp_path / "pipeline.yaml").write_text("recipe: [")
    assert read_augmentation(tmp_path) == TrainingAugmentation()
