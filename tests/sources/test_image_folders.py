"""Image folders in common layouts: training images, test images and classes."""

import os
from pathlib import Path

import pytest

from ncfm_hub.errors import SourceError
from ncfm_hub.sources import Source, inspect_source, load_source
from tests.sources.small_images import plain_image, zipped
from tests.sources.test_folders import recipe
from tests.sources.trees import several, tree


def counts(source: Source) -> tuple[list[int], list[int]]:
    """Images of each class in the training and in the test split."""
    many = len(source.info.class_names)
    tested = [] if source.test is None else source.test.labels.bincount(minlength=many).tolist()
    return source.train.labels.bincount(minlength=many).tolist(), tested


@pytest.mark.parametrize(
    ("test_folder", "names"), [("val", ("invalid", "valid")), ("test", ("cat", "dog", "train"))], ids=["valid", "train"]
)
def test_a_class_called_like_a_split(tmp_path: Path, test_folder: str, names: tuple[str, ...]) -> None:
    """20 images were measured on, of which 12 had been trained on; in the other case test images were trained on."""
    files = [file for name in names for file in several(f"train/{name}", 8) + several(f"{test_folder}/{name}", 4)]
    spec = recipe(tree(tmp_path / "data", files))
    source = load_source(spec)
    assert source.info.class_names == names
    assert counts(source) == ([8] * len(names), [4] * len(names))
    assert (inspect_source(spec).train_examples, inspect_source(spec).test_examples) == (8 * len(names), 4 * len(names))


def test_split_words_in_names_of_files(tmp_path: Path) -> None:
    """16 of 22 images were dropped without a word."""
    files = [
        f"{name}/{file}.png"
        for name in ("cat", "dog")
        for file in (*range(8), "photo of a test 0", "photo of a test 1", "a train 1")
    ]
    assert counts(load_source(recipe(tree(tmp_path / "whole", files)), test="if there")) == ([11, 11], [])
    folder = tree(tmp_path / "data", [*files, *several("test/cat", 1)])
    with pytest.raises(SourceError, match="test beside cat, dog could be splits or classes"):
        inspect_source(recipe(folder))
    apart = tree(tmp_path / "apart", [f"train/{file}" for file in files] + several("test/cat", 1))
    assert counts(load_source(recipe(apart))) == ([11, 11], [1, 0])


PHOTOGRAPHERS = "file_name,photographer\n" + "".join(
    f"{name}/{k}.png,{'AB'[k % 2]}\n" for name in ("cat", "dog") for k in range(4)
)


def test_class_folders_win_over_metadata(tmp_path: Path) -> None:
    files = [file for split in ("train", "test") for name in ("cat", "dog") for file in several(f"{split}/{name}", 4)]
    folder = tree(tmp_path / "data", files, {f"{split}/metadata.csv": PHOTOGRAPHERS for split in ("train", "test")})
    source = load_source(recipe(folder))
    assert source.info.class_names == ("cat", "dog")
    assert any("classes are taken from folder names; --label-column selects" in note for note in source.notes)
    other = load_source(recipe(folder, label_column="photographer"))
    assert (other.info.class_names, counts(other)) == (("A", "B"), ([4, 4], [4, 4]))
    assert not any("class folders" in note for note in other.notes)
    assert other.fingerprint != source.fingerprint


def test_metadata_beside_images_without_class_folders(tmp_path: Path) -> None:
    rows = "\n".join(
        f'{{"file_name": "images/{k}.png", "kind": "{"ab"[k % 2]}", "size": {{"w": 8}}}}' for k in range(4)
    )
    texts = {f"{split}/metadata.jsonl": rows for split in ("train", "test")}
    files = several("train/images", 4) + several("test/images", 4)
    source = load_source(recipe(tree(tmp_path / "jsonl", files, texts)))
    assert (source.info.label_column, source.info.class_names) == ("kind", ("a", "b"))
    assert source.train.labels.tolist() == [0, 1, 0, 1]
    # One file for all splits, and a row of an image that is not there.
    rows = "".join(f"{split}/{k}.png,{5 * (k % 3)}\n" for split in ("train", "test") for k in range(6))
    folder = tree(
        tmp_path / "csv", several("train", 6) + several("test", 5), {"metadata.csv": f"file_name,label\n{rows}"}
    )
    source = load_source(recipe(folder))
    assert (source.info.class_ids, source.test.labels.tolist()) == ((0, 5, 10), [0, 1, 2, 0, 1])
    assert "1 row of the metadata skipped: no such image" in source.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,kind\n0.png,a\n0.png,b\n", "lists '0.png' twice; multi-label images are not supported"),
        ("name,kind\n0.png,a\n", "has no column 'file_name'; columns: name, kind"),
        ("file_name,kind\n0.png,a,b\n", "cannot be read: CSV parse error"),
    ],
)
def test_bad_metadata_is_named(tmp_path: Path, text: str, message: str) -> None:
    folder = tree(tmp_path / "data", several("train", 2), {"train/metadata.csv": text})
    with pytest.raises(SourceError, match=f"data: train/metadata.csv {message}"):
        inspect_source(recipe(folder))


def test_metadata_cannot_name_an_image_outside(tmp_path: Path) -> None:
    tree(tmp_path, ["secret.png"])
    rows = "file_name,kind\n../../secret.png,a\n0.png,a\n1.png,b\n2.png,a\n3.png,b\n"
    texts = {f"{split}/metadata.csv": rows for split in ("train", "test")}
    source = load_source(recipe(tree(tmp_path / "data", several("train", 4) + several("test", 4), texts)))
    assert counts(source) == ([2, 2], [2, 2])


def test_the_readme_decides_which_files_are_of_which_split(tmp_path: Path) -> None:
    header = """---
configs:
- config_name: default
  data_files: [{split: train, path: "test/**"}, {split: test, path: ["train/*/0.png", "train/*/1.png"]}]
---
"""
    files = [file for split in ("train", "test") for name in ("test", "dog") for file in several(f"{split}/{name}", 4)]
    source = load_source(recipe(tree(tmp_path / "data", files, {"README.md": header})))
    assert (source.info.class_names, counts(source)) == (("dog", "test"), ([4, 4], [2, 2]))


def test_a_configuration_reads_its_own_folder_only(tmp_path: Path) -> None:
    header = """---
configs:
- {config_name: old, data_dir: v1}
- {config_name: new, data_dir: v2}
---
"""
    files = [
        file
        for version, many in (("v1", 3), ("v2", 2))
        for folder in ("train/cat", "train/test", "test/cat", "test/test")
        for file in several(f"{version}/{folder}", many)
    ]
    folder = tree(tmp_path / "data", files, {"README.md": header})
    source = load_source(recipe(folder, config="new"))
    assert (source.info.config, source.info.class_names, counts(source)) == ("new", ("cat", "test"), ([2, 2], [2, 2]))
    with pytest.raises(SourceError, match="several configs: old, new; choose one with --config"):
        inspect_source(recipe(folder))


def test_archives_count_as_the_folders_they_hold(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, many in (("train", 3), ("test", 2)):
        members = {f"{split}/{name}/a test {k}.png": plain_image(k) for name in ("valid", "dog") for k in range(many)}
        junk = {f"__MACOSX/{split}/valid/._0.png": b"junk"}
        (tmp_path / "data" / f"{split}.zip").write_bytes(zipped(members | junk))
    source = load_source(recipe(tmp_path / "data"))
    assert (source.info.class_names, counts(source)) == (("dog", "valid"), ([3, 3], [2, 2]))
    # Shards of one split, each with folders of all classes.
    for shard in range(2):
        (tmp_path / "shards" / "train").mkdir(parents=True, exist_ok=True)
        members = {f"{name}/{shard}.png": plain_image(shard) for name in ("a", "b")}
        (tmp_path / "shards" / "train" / f"{shard}.zip").write_bytes(zipped(members))
    info = inspect_source(recipe(tree(tmp_path / "shards", ["test/a/0.png"])))
    assert (info.class_names, info.train_examples) == (("a", "b"), 4)


def test_linked_folders_are_followed_inside_the_dataset(tmp_path: Path) -> None:
    folder = tree(tmp_path / "data", several("pool/cat", 3) + several("train/dog", 2) + several("test/dog", 1))
    os.symlink("../pool/cat", folder / "train" / "cat")
    source = load_source(recipe(folder))
    assert (source.info.class_names, counts(source)) == (("cat", "dog"), ([3, 2], [0, 1]))
    before = source.fingerprint
    (folder / "pool" / "cat" / "2.png").write_bytes(plain_image(99))
    assert inspect_source(recipe(folder)).fingerprint != before


def test_links_that_lead_outside_or_in_circles_are_named(tmp_path: Path) -> None:
    tree(tmp_path, several("elsewhere", 2))
    folder = tree(tmp_path / "data", several("train/dog", 2) + several("test/dog", 2))
    os.symlink(tmp_path / "elsewhere", folder / "train" / "cat")
    with pytest.raises(SourceError, match=f"train/cat is a symbolic link to {tmp_path}/elsewhere, outside the dataset"):
        inspect_source(recipe(folder))
    (folder / "train" / "cat").unlink()
    os.symlink("..", folder / "train" / "cat")
    with pytest.raises(SourceError, match="train/cat is a symbolic link to a folder that contains it"):
        inspect_source(recipe(folder))


def test_one_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    folder = tree(tmp_path / "data", several("train/dog", 2) + several("train/cat", 2))
    os.symlink("train", folder / "test")
    with pytest.raises(SourceError, match=r"train/cat/0\.png is in both splits 'train' and 'test' \(through a link"):
        inspect_source(recipe(folder))
    header = """---
configs:
- config_name: default
  data_files: [{split: train, path: "images/**"}, {split: test, path: "images/*/1.png"}]
---
"""
    folder = tree(tmp_path / "readme", several("images/dog", 2) + several("images/cat", 2), {"README.md": header})
    with pytest.raises(SourceError, match=r"images/cat/1\.png is in both splits 'train' and 'test'"):
        inspect_source(recipe(folder))
