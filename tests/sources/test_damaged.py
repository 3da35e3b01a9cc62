"""Damaged images: all of them named at once, or left out and counted."""

from pathlib import Path

import pytest

from ncfm_hub.errors import SourceError
from ncfm_hub.sources import load_source
from tests.sources.test_folders import recipe
from tests.sources.trees import several, tree


def damaged(folder: Path, names: list[str]) -> Path:
    """Cat and dog, 12 images each to train on and 4 to measure on, of which `names` are cut off."""
    files = [name for c in ("cat", "dog") for name in several(f"train/{c}", 12) + several(f"test/{c}", 4)]
    tree(folder, files)
    for name in names:
        (folder / name).write_bytes((folder / name).read_bytes()[:40])
    return folder


def test_damaged_images_of_both_splits_are_named_at_once(tmp_path: Path) -> None:
    folder = damaged(tmp_path / "data", ["train/cat/3.png", "train/dog/7.png", "test/dog/2.png"])
    with pytest.raises(SourceError, match="data, 3 damaged images: ") as caught:
        load_source(recipe(folder))
    message = str(caught.value)
    assert "split 'train', train/cat/3.png (class 'cat'): the image cannot be used: " in message
    assert "split 'train', train/dog/7.png (class 'dog'): " in message
    assert "split 'test', test/dog/2.png (class 'dog'): " in message
    assert message.endswith("; --skip-damaged skips damaged images")


def test_no_more_than_ten_are_named(tmp_path: Path) -> None:
    folder = damaged(tmp_path / "data", several("train/cat", 8) + several("train/dog", 6) + several("test/cat", 2))
    with pytest.raises(SourceError, match="data, 10 or more damaged images: ") as caught:
        load_source(recipe(folder))
    assert str(caught.value).count("the image cannot be used") == 10
    assert "train/dog/1.png" in str(caught.value)
    assert "train/dog/2.png" not in str(caught.value)


def test_damaged_images_are_left_out_and_counted_if_asked(tmp_path: Path) -> None:
    folder = damaged(tmp_path / "data", ["train/cat/3.png", *several("train/dog", 11), "test/dog/2.png"])
    source = load_source(recipe(folder, skip_damaged=True))
    assert source.train.labels.tolist() == [0] * 11 + [1]
    assert source.test.labels.tolist() == [0] * 4 + [1] * 3
    assert (
        "12 damaged images of split 'train' skipped: train/cat/3.png, train/dog/0.png, train/dog/1.png, ..."
        in source.notes
    )
    assert "1 damaged image of split 'test' skipped: test/dog/2.png" in source.notes
    whole = damaged(tmp_path / "whole", [])
    assert load_source(recipe(whole)).fingerprint != load_source(recipe(whole, skip_damaged=True)).fingerprint


def test_a_class_of_damaged_images_only_stops(tmp_path: Path) -> None:
    folder = damaged(tmp_path / "data", several("train/dog", 12))
    with pytest.raises(SourceError, match="split 'train': no images of class 'dog'"):
        load_source(recipe(folder, skip_damaged=True))
