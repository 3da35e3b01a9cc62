"""The packaged digits are scikit-learn's, and load with nothing but `datasets`."""

from pathlib import Path

import numpy as np
import pytest

from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources import load_source, packaged_digits


def test_equal_scikit_learns() -> None:
    from datasets import load_dataset
    from sklearn.datasets import load_digits

    original = load_digits()
    expected = {  # value k of 16 becomes k / 16 of 255
        (tuple(np.rint(image.ravel() / 16 * 255).astype(int)), int(label))
        for image, label in zip(original.images, original.target, strict=True)
    }
    loaded = load_dataset(str(packaged_digits()))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 1437, "test": 360}
    found = [
        (tuple(np.asarray(row["image"]).ravel().tolist()), row["label"]) for split in loaded.values() for row in split
    ]
    assert len(found) == 1797
    assert set(found) == expected
    assert loaded["train"].features["label"].names == [str(digit) for digit in range(10)]
    for name, whole in (("train", 1437), ("test", 360)):  # stratified: each digit within one image of its share
        counts = np.bincount(loaded[name]["label"])
        assert np.abs(counts - np.bincount(original.target) * whole / 1797).max() < 1


def test_stand_in_for_the_users_own_where_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncfm_hub.sources.place.current_token", lambda token: token)
    source = load_source(SourceRecipe(dataset="{user}/digits", resolution=16, channels=1, flip=False))
    assert source.train.images.shape == (1437, 1, 16, 16)
    assert source.info.dataset == "digits (packaged with ncfm-hub)"
    assert source.info.license == "cc-by-4.0"
    assert "Kaynak" in (source.info.citation or "")
    assert str(Path.home()) not in str(source.info)
    assert any("no Hub token found" in note for note in source.notes)
