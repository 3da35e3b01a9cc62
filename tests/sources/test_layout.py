"""Split and class from folder names: all common layouts, and unsupported ones."""

from pathlib import PurePosixPath

import pytest

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.layout import Arrangement, Layout
from ncfm_hub.sources.listing import Listed
from ncfm_hub.sources.words import is_plain, split_names, split_word


def arranged(*paths: str, labelled: bool = False) -> tuple[dict[str, list[str]], Layout]:
    """({split: ["path as class", ...]}, the layout)"""
    images = [Listed(PurePosixPath(path), path) for path in paths]
    layout = Arrangement(images, "D", labelled).guess()
    shown = {
        split: [f"{paths[n]} as {layout.classes.get(n)}" if layout.classes else paths[n] for n in numbers]
        for split, numbers in layout.splits.items()
    }
    return shown, layout


def in_each(*folders: str) -> list[str]:
    return [f"{folder}/{n}.png" for folder in folders for n in (1, 2)]


@pytest.mark.parametrize(
    ("name", "word", "plain"),
    [
        ("train", "train", True),
        ("Training", "training", True),
        ("val2017", "val", True),
        ("test_1", "test", True),
        ("seg_train", "train", False),
        ("bullet train", "train", False),
        ("constrain", None, False),
        ("validity", None, False),
        ("train-test", None, False),
        ("cat", None, False),
    ],
)
def test_words_for_splits(name: str, word: str | None, plain: bool) -> None:
    assert (split_word(name), is_plain(name)) == (word, plain)


def test_two_words_for_one_split_are_two_splits() -> None:
    assert split_names(["train", "val", "test"]) == {"train": "train", "val": "validation", "test": "test"}
    assert split_names(["train", "val", "dev"]) == {"train": "train", "val": "val", "dev": "dev"}


@pytest.mark.parametrize("start", ["", "data/", "my-dataset/", "a/b/data/"])
def test_the_top_folder_alone_decides_the_split(start: str) -> None:
    """Issue: training images of the classes "valid" and "train" were measured on, and test images trained on."""
    folders = [f"{start}{split}/{name}" for split in ("train", "val") for name in ("train", "valid", "crash test")]
    shown, layout = arranged(*in_each(*folders))
    assert set(shown) == {"train", "validation"}
    for split, top in (("train", "train"), ("validation", "val")):
        assert shown[split] == [
            f"{start}{top}/{name}/{n}.png as {name}" for name in ("train", "valid", "crash test") for n in (1, 2)
        ]
    assert layout.notes == ()


@pytest.mark.parametrize(
    "names", [("bullet train", "car"), ("train", "car"), ("train", "test", "car"), ("bullet train", "crash test")]
)
def test_split_words_among_class_folders_are_classes(names: tuple[str, ...]) -> None:
    shown, _ = arranged(*in_each(*names))
    assert shown == {"train": [f"{name}/{n}.png as {name}" for name in names for n in (1, 2)]}


def test_names_of_files_decide_nothing() -> None:
    paths = ["cat/a test 1.png", "cat/train-1.png", "dog/valid.png", "dog/2.png"]
    shown, _ = arranged(*paths)
    assert shown == {"train": [f"{path} as {path[:3]}" for path in paths]}


def test_numbered_and_compound_split_folders() -> None:
    shown, _ = arranged("train2017/a/1.png", "train-1/b/1.png", "val2017/a/1.png", "val2017/b/1.png")
    assert shown["train"] == ["train2017/a/1.png as a", "train-1/b/1.png as b"]
    assert len(shown["validation"]) == 2
    # As a well-known dataset of landscapes has them, each folder in another of the same name.
    landscapes = [f"seg_{split}/seg_{split}/{name}" for split in ("train", "test") for name in ("forest", "sea")]
    shown, layout = arranged(*in_each(*landscapes, "seg_pred/seg_pred"))
    assert shown["test"] == [f"{landscapes[2]}/{n}.png as forest" for n in (1, 2)] + [
        f"{landscapes[3]}/{n}.png as sea" for n in (1, 2)
    ]
    assert [len(paths) for paths in shown.values()] == [4, 4]
    assert layout.notes[0].startswith("2 images outside seg_test, seg_train skipped")


def test_other_folders_beside_the_splits_are_left_out_and_counted() -> None:
    shown, layout = arranged(*in_each("train/a", "train/b", "test/a", "extra/a"), "overview.png")
    assert {split: len(paths) for split, paths in shown.items()} == {"train": 4, "test": 2}
    assert layout.notes == ("3 images outside test, train skipped: extra/a/1.png, extra/a/2.png, overview.png",)
    shown, layout = arranged(*in_each("data/train/a", "data/train/b", "data/test/a"), "assets/logo.png")
    assert {split: len(paths) for split, paths in shown.items()} == {"train": 4, "test": 2}
    assert layout.notes == ("1 image outside data skipped: assets/logo.png",)


def test_the_first_folder_below_the_split_is_the_class() -> None:
    """Issue: class/session/image made the sessions the classes."""
    shown, layout = arranged("train/cat/monday/1.png", "train/dog/monday/1.png", "train/dog/sunday/2.png")
    assert shown["train"][0] == "train/cat/monday/1.png as cat"
    assert set(layout.classes.values()) == {"cat", "dog"}
    assert layout.notes == (
        "the first folder below the split is the class; 3 images in deeper folders, "
        "such as train/cat/monday/1.png, class 'cat'",
    )
    shown, _ = arranged(*in_each("train/images/cat", "train/images/dog", "test/images/cat"))
    assert shown["test"] == ["test/images/cat/1.png as cat", "test/images/cat/2.png as cat"]


def test_images_without_class_folders_are_left_to_metadata() -> None:
    shown, layout = arranged("train/1.png", "train/2.png", "test/1.png", labelled=True)
    assert shown == {"train": ["train/1.png", "train/2.png"], "test": ["test/1.png"]}
    assert layout.classes == {}
    assert arranged("images/1.png", "images/2.png", labelled=True)[0] == {"train": ["images/1.png", "images/2.png"]}
    assert arranged("train/a/1.png", "train/b/1.png", "train/3.png", labelled=True)[1].classes == {}


def test_a_split_without_any_class_folder_has_no_labels() -> None:
    shown, _ = arranged("train/a/1.png", "train/b/1.png", "test/1.png")
    assert shown["test"] == ["test/1.png as None"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["train/a/1.png", "train/b/1.png", "train/overview.png"], "no class folder holds train/overview.png"),
        (["a/1.png", "b/1.png", "overview.png"], "no class folder holds overview.png"),
        (["1.png", "2.png", "3.png", "4.png", "5.png"], "no class folder holds 1.png, 2.png, 3.png and 2 more"),
        (["train/1.png", "test/1.png"], "no class folder holds train/1.png, test/1.png"),
        (["cats/1.png", "cats/2.png"], "cats is the only class folder; expected two or more"),
        (["train/cat/1.png", "test/cat/2.png"], "cat is the only class folder"),
        (
            ["a/1.png", "group/b/1.png", "group/c/1.png"],
            r"class folders lie at different depths \(a/1.png, group/b/1.png\)",
        ),
        (["train/a/1.png", "cat/a/1.png", "dog/a/1.png"], "train beside cat, dog could be splits or classes"),
        (["bullet train/a/1.png", "crash test/b/1.png"], "bullet train, crash test could be splits or classes"),
        (["my_train/a/1.png", "my_test/a/1.png", "extra/a/1.png"], "my_test, my_train beside extra could be splits"),
    ],
)
def test_what_is_no_layout_names_a_file_and_what_is_expected(paths: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=f"^D: {message}.*; expected train/CLASS/IMAGE and test/CLASS/IMAGE, or"):
        arranged(*paths)
