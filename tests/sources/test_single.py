"""Third-party datasets made from a source, with classes numbered as in the source."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, List, Value

from ncfm_hub.errors import SourceError
from ncfm_hub.sources import SourceInfo, inspect_source
from ncfm_hub.sources.single import load_labelled_images
from ncfm_hub.utils.progress import Silent
from tests.sources.conftest import Build
from tests.sources.small_images import plain_image
from tests.sources.test_folders import NAMES, ROWS, recipe


@pytest.fixture
def source(build: Build) -> SourceInfo:
    """Classes ant, bee and cat, at 8 px."""
    return inspect_source(recipe(build(ROWS, ROWS[:3], names=NAMES, folder="source")))


def read(folder: Path, source: SourceInfo) -> Any:
    return load_labelled_images(str(folder), None, source, token=None, progress=Silent())


def write(folder: Path, features: Features, rows: list[tuple[bytes, Any, Any]], name: str = "train") -> Path:
    columns = list(features)
    cells: dict[str, list[Any]] = {column: [row[at] for row in rows] for at, column in enumerate(columns)}
    cells[columns[0]] = [{"bytes": data, "path": None} for data in cells[columns[0]]]
    path = folder / "data" / f"{name}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(cells, features=features).to_parquet(path)
    return folder


def soft_features(names: list[str]) -> Features:
    return Features({"image": Image(), "label": ClassLabel(names=names), "soft_label": List(Value("float32"))})


ONE_EACH = [(plain_image(10), 0), (plain_image(20), 1), (plain_image(30), 2)]


def test_classes_are_told_by_name_whatever_their_order(build: Build, source: SourceInfo) -> None:
    images, soft = read(build(ONE_EACH, ONE_EACH, names=["cat", "ant", "bee"]), source)
    assert images.labels.tolist() == [2, 0, 1]
    assert images.images[:, :, 3, 3].tolist() == [[n, 2 * n, 255 - n] for n in (10, 20, 30)]
    assert soft is None


def test_bare_numbers_are_the_sources_own(build: Build, source: SourceInfo) -> None:
    images, _ = read(build([ONE_EACH[2], ONE_EACH[0], ONE_EACH[1]], ONE_EACH), source)
    assert images.labels.tolist() == [2, 0, 1]


def test_texts_are_names_whatever_their_alphabet(build: Build) -> None:
    planes = inspect_source(recipe(build(ROWS, ROWS[:3], names=["plane", "car", "bird"], folder="vehicles")))
    texts = [(plain_image(n), name) for n, name in enumerate(["car", "bird", "plane"])]
    images, _ = read(build(texts, texts), planes)
    assert images.labels.tolist() == [1, 2, 0]
    others = [(plain_image(n), name) for n, name in enumerate(["auto", "bird", "jet"])]
    with pytest.raises(SourceError, match="unknown class 'auto'"):
        read(build(others, others, folder="others"), planes)


def test_texts_of_numbers_are_numbers(build: Build) -> None:
    """Twelve of them, which stand in another order as texts."""
    rows = [(plain_image(n), n) for n in range(12)]
    many = inspect_source(recipe(build(rows, rows, names=[f"kind {n}" for n in range(12)], folder="many")))
    images, _ = read(build([(data, str(n)) for data, n in rows], [(rows[0][0], "0")], folder="texts"), many)
    assert images.labels.tolist() == list(range(12))


def test_soft_labels_of_texts_of_numbers_are_in_the_order_of_numbers(build: Build, tmp_path: Path) -> None:
    rows = [(plain_image(n), n) for n in range(12)]
    many = inspect_source(recipe(build(rows, rows, names=[f"kind {n}" for n in range(12)], folder="many")))
    features = Features({"image": Image(), "label": Value("string"), "soft_label": List(Value("float32"))})
    soft = torch.eye(12).tolist()
    _, found = read(write(tmp_path / "soft", features, [(data, str(n), soft[n]) for data, n in rows]), many)
    assert found.argmax(1).tolist() == list(range(12))


def test_rows_without_a_label_are_left_out(build: Build, source: SourceInfo) -> None:
    unlabelled = [(plain_image(99), -1), *ONE_EACH, (plain_image(98), -1)]
    images, _ = read(build(unlabelled, ONE_EACH, names=NAMES), source)
    assert images.labels.tolist() == [0, 1, 2]
    assert images.images[:, 0, 0, 0].tolist() == [10, 20, 30]


def test_the_only_split_serves_whatever_its_name(tmp_path: Path, source: SourceInfo) -> None:
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES)})
    folder = write(tmp_path / "made", features, [(*row, None) for row in ONE_EACH], name="distilled")
    assert read(folder, source)[0].labels.tolist() == [0, 1, 2]


def test_of_several_columns_those_called_as_in_the_source(tmp_path: Path, source: SourceInfo) -> None:
    """The source's are `picture` and `kind`."""
    coarse = ClassLabel(names=["small", "large"])
    features = Features({"picture": Image(), "size": coarse, "kind": ClassLabel(names=NAMES)})
    rows = [(data, 0, label) for data, label in ONE_EACH]
    assert read(write(tmp_path / "made", features, rows), source)[0].labels.tolist() == [0, 1, 2]
    features = Features({"image": Image(), "size": coarse, "species": ClassLabel(names=NAMES)})
    with pytest.raises(SourceError, match=r"several columns .* label; the source's is called 'kind'; columns: .*size"):
        read(write(tmp_path / "others", features, rows), source)


def test_images_are_brought_to_the_sources_size(build: Build, source: SourceInfo) -> None:
    larger = [(plain_image(10 * n, (20, 16)), n) for n in range(3)]
    images, _ = read(build(larger, larger, names=NAMES), source)
    assert images.images.shape == (3, 3, 8, 8)


def test_soft_labels_are_put_in_the_sources_order(tmp_path: Path, source: SourceInfo) -> None:
    rows = [(plain_image(10 * n), n, soft) for n, soft in enumerate([[0.7, 0.2, 0.1], [0, 1.0, 0], [0.3, 0.3, 0.4]])]
    folder = write(tmp_path / "soft", soft_features(["cat", "ant", "bee"]), rows)
    _, soft = read(folder, source)
    expected = [[0.2, 0.1, 0.7], [1.0, 0.0, 0.0], [0.3, 0.4, 0.3]]
    torch.testing.assert_close(soft, torch.tensor(expected))
    assert soft.dtype == torch.float32


@pytest.mark.parametrize(
    ("soft", "message"),
    [
        ([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]], r"has shape \(3, 2\); expected \(3, 3\)"),
        ([[1.0, 0, 0], [0.5, 0.5], [1, 0, 0]], "lists of numbers of equal length"),
        ([[1.0, 0, 0], [2.0, -1.0, 0], [1, 0, 0]], "does not hold probabilities"),
        ([[1.0, 0, 0], [1.0, 0, 0], [0.4, 0, 0]], "row 2: .* does not hold probabilities"),
        ([[1.0, 0, 0], [float("nan"), 0, 0], [1, 0, 0]], "row 1: .* does not hold probabilities"),
    ],
)
def test_soft_labels_that_are_none_are_refused(tmp_path: Path, source: SourceInfo, soft: Any, message: str) -> None:
    rows = [(plain_image(10 * n), n, one) for n, one in enumerate(soft)]
    with pytest.raises(SourceError, match=message):
        read(write(tmp_path / "soft", soft_features(NAMES), rows), source)


def test_other_classes_are_refused_by_name(build: Build, source: SourceInfo) -> None:
    with pytest.raises(SourceError, match=r"does not have the classes of .*: unknown class 'dog'"):
        read(build(ONE_EACH, ONE_EACH, names=["ant", "bee", "dog"]), source)
    with pytest.raises(SourceError, match="it has 2 of 3"):
        read(build(ONE_EACH[:2], ONE_EACH[:2], names=["ant", "bee"], folder="two"), source)
    with pytest.raises(SourceError, match="no images of class 'cat'"):
        read(build(ONE_EACH[:2], ONE_EACH[:2], names=NAMES, folder="none"), source)


def test_a_damaged_image_is_named_by_its_row(build: Build, source: SourceInfo) -> None:
    broken = [*ONE_EACH[:2], (b"no image", 2)]
    with pytest.raises(SourceError, match="row 2: the image cannot be used"):
        read(build(broken, ONE_EACH, names=NAMES), source)


def test_several_splits_without_train_are_refused(tmp_path: Path, source: SourceInfo) -> None:
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES)})
    for name in ("left", "right"):
        write(tmp_path / "made", features, [(*row, None) for row in ONE_EACH], name=name)
    with pytest.raises(SourceError, match="has no split 'train'; available: left, right"):
        read(tmp_path / "made", source)
