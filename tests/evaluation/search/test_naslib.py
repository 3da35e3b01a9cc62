"""Datasets for NASLib: like torchvision's, and usable when split by row number."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision import transforms

from ncfm_hub.evaluation.search import naslib
from ncfm_hub.evaluation.search.naslib import naslib_datasets
from tests.matching.tiny import tiny_source

SOURCE = tiny_source(per_class=20)


@pytest.fixture(autouse=True)
def subject(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A class-ordered dataset of 10 images per class, like a distilled one."""
    rows = torch.cat([rows[:10] for rows in SOURCE.class_indices()])
    made = SimpleNamespace(images=SOURCE.train.images[rows], labels=SOURCE.train.labels[rows], source=SOURCE)
    monkeypatch.setattr(naslib, "open_subject", lambda *_, **__: made)
    return made


def test_items_and_targets_are_as_torchvision_s(subject: SimpleNamespace) -> None:
    train, test = naslib_datasets("mine")
    assert (len(train), len(test)) == (30, 12)
    assert test.targets == SOURCE.test.labels.tolist()
    assert all(type(target) is int for target in train.targets)
    image, label = test[3]
    torch.testing.assert_close(image, SOURCE.test.images[3] / 255)
    assert label == SOURCE.test.labels[3]


def test_rows_are_shuffled_with_their_labels_so_that_every_split_has_every_class(subject: SimpleNamespace) -> None:
    train, _ = naslib_datasets("mine", seed=1)
    assert sorted(train.targets) == subject.labels.tolist()
    for image, target in zip(train.images, train.targets, strict=True):
        place = (subject.images == image).flatten(1).all(1).nonzero()[0, 0]
        assert subject.labels[place] == target
    half = int(np.floor(0.5 * len(train)))
    assert set(train.targets[:half]) == set(train.targets[half:]) == {0, 1, 2}
    assert naslib_datasets("mine", seed=1)[0].targets == train.targets
    assert naslib_datasets("mine", seed=2)[0].targets != train.targets


def test_its_transforms_and_loaders_work() -> None:
    """What NASLib does: PIL transforms that end in tensors, and a loader over a subset of row numbers."""
    crop = transforms.Compose(
        [transforms.RandomCrop(16, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    )
    train, test = naslib_datasets("mine", train_transform=crop, test_transform=transforms.ToTensor())
    sampler = torch.utils.data.sampler.SubsetRandomSampler(list(range(15, 30)))
    batches = list(torch.utils.data.DataLoader(train, batch_size=5, sampler=sampler))
    assert [images.shape for images, _ in batches] == [(5, 3, 16, 16)] * 3
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == sorted(train.targets[15:])
    torch.testing.assert_close(test[0][0], SOURCE.test.images[0] / 255)
