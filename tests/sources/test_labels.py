"""Labels of every kind: rows without one, truth values and floats, and columns that hold no classes."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value

from ncfm_hub.errors import SourceError
from ncfm_hub.sources import inspect_source, load_source
from tests.sources.small_images import plain_image
from tests.sources.test_folders import Recorder, recipe
from tests.sources.trees import several, tree


def write(folder: Path, kind: Any, train: list[Any], test: list[Any] | None = None, column: str = "label") -> Path:
    """Parquet of both splits, whose images have as many different pixels as there are rows."""
    for split, labels in (("train", train), ("test", train if test is None else test)):
        cells = [{"bytes": plain_image(number), "path": None} for number in range(len(labels))]
        made = Dataset.from_dict({"image": cells, column: labels}, Features({"image": Image(), column: kind}))
        (folder / "data").mkdir(parents=True, exist_ok=True)
        made.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


CLASSES = ClassLabel(names=["cat", "dog"])


@pytest.mark.parametrize("kind", [CLASSES, Value("int64"), Value("string")], ids=["classes", "numbers", "texts"])
def test_null_labels_in_parquet_are_left_out_and_counted(tmp_path: Path, kind: Any) -> None:
    names = ["cat", "dog"] if kind == Value("string") else [0, 1]
    train = [None if row == 3 else names[row % 2] for row in range(12)]
    source = load_source(recipe(write(tmp_path / "data", kind, train, train[:6])))
    assert source.train.labels.tolist() == [row % 2 for row in range(12) if row != 3]
    assert source.train.images[:, 0, 0, 0].tolist() == [row for row in range(12) if row != 3]
    assert len(source.test.labels) == 5
    assert "1 row of split 'train' has no label (null) and is skipped" in source.notes


def test_both_marks_of_rows_without_a_label_are_counted(tmp_path: Path) -> None:
    source = load_source(recipe(write(tmp_path / "data", CLASSES, [0, 1, None, -1, -1, 0])))
    assert source.train.labels.tolist() == [0, 1, 0]
    assert "3 rows of split 'train' have no label (null or -1) and are skipped" in source.notes


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_null_labels_in_metadata_are_left_out_and_counted(tmp_path: Path, ending: str) -> None:
    """A message of the reader stopped it: "Schema at index 3 was different"."""
    texts = {}
    for split, count in (("train", 8), ("test", 4)):
        labels = [None if k == 3 else ("cat", "dog")[k % 2] for k in range(count)]
        if ending == "jsonl":
            said = [{"file_name": f"{k}.png", "label": label} for k, label in enumerate(labels)]
            text = "\n".join(map(json.dumps, said))
        else:
            text = "file_name,label\n" + "".join(f"{k}.png,{label or ''}\n" for k, label in enumerate(labels))
        texts[f"{split}/metadata.{ending}"] = text
    source = load_source(recipe(tree(tmp_path / "data", several("train", 8) + several("test", 4), texts)))
    assert (source.info.class_names, source.train.labels.tolist()) == (("cat", "dog"), [0, 1, 0, 0, 1, 0, 1])
    assert source.test.labels.tolist() == [0, 1, 0]
    assert "1 row of split 'test' has no label (null) and is skipped" in source.notes


@pytest.mark.parametrize(
    ("kind", "labels", "names"),
    [
        (Value("bool"), [True, False, None, True], ("False", "True")),
        (Value("float64"), [7.0, 3.0, None, 7.0], ("3", "7")),
        (Value("float32"), [7.0, 3.0, float("nan"), 7.0], ("3", "7")),
    ],
    ids=["bool", "float", "NaN"],
)
def test_truth_values_and_whole_floats_are_labels(
    tmp_path: Path, kind: Any, labels: list[Any], names: tuple[str, ...]
) -> None:
    folder = write(tmp_path / "data", kind, labels)
    source = load_source(recipe(folder))
    assert (source.info.class_names, source.train.labels.tolist()) == (names, [1, 0, 1])
    assert source.info.class_ids == ((0, 1) if kind.dtype == "bool" else (3, 7))
    turned = load_source(recipe(folder, classes=[names[1], names[0]]))
    assert turned.train.labels.tolist() == [0, 1, 0]


def test_fractions_are_no_labels(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", Value("float64"), [0.5, 1.0, 1.0, 1.0], column="score")
    with pytest.raises(SourceError, match=r"split 'train': column 'score' holds 0.5, which is not a label"):
        inspect_source(recipe(folder, label_column="score"))


@pytest.mark.parametrize("kind", [Value("int64"), Value("string")], ids=["numbers", "texts"])
def test_a_column_that_numbers_the_rows_is_refused_by_name(tmp_path: Path, kind: Any) -> None:
    """A unique integer became 30 classes."""
    rows = [str(row) if kind == Value("string") else row for row in range(30)]
    rows[7] = rows[3]
    folder = write(tmp_path / "data", kind, rows, column="patient")
    with pytest.raises(SourceError, match=r"column 'patient' has 29 distinct labels in 30 rows .*--label-column"):
        inspect_source(recipe(folder))
    with pytest.raises(SourceError, match="column 'patient' has 29 distinct labels"):
        load_source(recipe(folder, label_column="patient"))


def test_every_run_says_what_the_classes_are(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(11)] + ["x" * 50]
    folder = write(tmp_path / "data", ClassLabel(names=names), list(range(12)))
    for wanted, said in (
        (
            None,
            "12 classes: class 0, class 1, class 2, class 3, class 4, class 5, class 6, class 7, class 8, class 9, ...",
        ),
        (["class 0", "x" * 50], f"2 classes: class 0, {'x' * 40}..."),
    ):
        for _ in range(2):  # decoded, and from the cache
            progress = Recorder()
            load_source(recipe(folder, classes=wanted), progress=progress)
            assert f"label column 'label', {said}" in progress.notes


def test_the_number_of_images_of_a_folder_is_known_before_it_is_read(tmp_path: Path) -> None:
    info = inspect_source(recipe(write(tmp_path / "data", CLASSES, [0, 1, 0, 1], [0, 1, 0])))
    assert (info.train_examples, info.test_examples) == (4, 3)
    parts = inspect_source(recipe(tmp_path / "data", train_split="train[:2]", test_split="train[2:]"))
    assert (parts.train_examples, parts.test_examples) == (2, 2)


def test_a_file_of_rows_in_both_splits_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", CLASSES, [0, 1, 0, 1])
    files = "[{split: train, path: data/*}, {split: test, path: data/test-*}]"
    header = f"---\nconfigs:\n- config_name: default\n  data_files: {files}\n---\n"
    (folder / "README.md").write_text(header)
    with pytest.raises(SourceError, match=r"test-00000-of-00001\.parquet is in both splits 'train' and 'test'"):
        inspect_source(recipe(folder))


def test_a_sample_without_a_label_in_webdataset(tmp_path: Path) -> None:
    """Rows come one by one from such files, and a null among them had no type that the others have."""
    for split in ("train", "test"):
        with tarfile.open(tmp_path / f"{split}.tar", "w") as archive:
            for k in range(10):
                files = {f"{k}.png": plain_image(k)} | ({} if k == 7 else {f"{k}.cls": b"%d" % (k % 2)})
                for name, data in files.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    info = inspect_source(recipe(tmp_path))
    assert (info.label_column, info.class_names, info.train_examples) == ("cls", ("0", "1"), 10)
    source = load_source(recipe(tmp_path))
    assert source.train.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 0, 1]
