"""Local folders in the Hub's layout: contents, notes, cache, and all errors."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources import inspect_source, load_source
from ncfm_hub.sources.cache import cache_path
from tests.sources.conftest import Build
from tests.sources.small_images import encoded, plain_image, zipped


def recipe(folder: Path, **values: Any) -> SourceRecipe:
    return SourceRecipe(dataset=str(folder), **({"resolution": 8} | values))


def first_pixels(images: Any) -> list[int]:
    return images[:, 0, 0, 0].tolist()


class Recorder:
    """A Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.bars: dict[str, list[int]] = {}

    def note(self, message: str) -> None:
        self.notes.append(message)

    def bar(self, total: int, what: str, done: int = 0) -> Any:
        counts = self.bars.setdefault(what, [total, done])

        class Bar:
            def __enter__(self) -> "Bar":
                return self

            def __exit__(self, *exc: object) -> None:
                pass

            def advance(self, count: int = 1, **figures: float | str) -> None:
                counts[1] += count

        return Bar()


ROWS = [(plain_image(10 * n), n % 3) for n in range(6)]
NAMES = ["ant", "bee", "cat"]


def test_classlabel_parquet(build: Build) -> None:
    folder = build(ROWS, ROWS[:3], names=NAMES)
    spec, progress = recipe(folder), Recorder()
    source = load_source(spec, progress=progress)
    assert source.train.images.shape == (6, 3, 8, 8)
    assert source.train.images.dtype.is_floating_point is False
    assert source.train.images[:, :, 3, 3].tolist() == [[10 * n, 20 * n, 255 - 10 * n] for n in range(6)]
    assert source.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert source.test.labels.tolist() == [0, 1, 2]
    info = source.info
    assert (info.image_column, info.label_column, info.class_names) == ("picture", "kind", tuple(NAMES))
    assert (info.is_local, info.revision, info.config, info.license) == (True, None, "default", None)
    assert (info.train_examples, info.test_examples) == (6, 3)
    assert progress.bars == {"decode train": [6, 6], "decode test": [3, 3]}
    assert [rows.tolist() for rows in source.class_indices()] == [[0, 3], [1, 4], [2, 5]]
    assert inspect_source(spec).fingerprint == source.fingerprint


def test_text_and_integer_labels(build: Build) -> None:
    words = build([(data, ["pear", "fig", "kiwi"][n]) for data, n in ROWS], [(ROWS[0][0], "kiwi")])
    source = load_source(recipe(words))
    assert source.info.class_names == ("fig", "kiwi", "pear")
    assert source.train.labels.tolist() == [2, 0, 1, 2, 0, 1]
    assert source.test.labels.tolist() == [1]
    numbers = build([(data, 5 * n) for data, n in ROWS], [(ROWS[0][0], 5)], folder="numbers")
    source = load_source(recipe(numbers))
    assert source.info.class_names == ("0", "5", "10")
    assert source.info.class_ids == (0, 5, 10)
    assert source.train.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_image_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for split in ("train", "test"):
        for n, name in enumerate(("oak", "ash")):
            (folder / split / name).mkdir(parents=True)
            for k in range(2):
                Image.new("L", (12, 8), 100 * n + k).save(folder / split / name / f"{k}.png")
    source = load_source(recipe(folder))
    assert source.info.class_names == ("ash", "oak")
    assert sorted(first_pixels(source.train.images)) == [0, 1, 100, 101]
    assert [pixel < 100 for pixel in first_pixels(source.test.images)] == source.test.labels.bool().tolist()
    assert source.train.labels[source.train.images[:, 0, 0, 0] >= 100].tolist() == [0, 0]
    assert any("8 greyscale images are repeated" in note for note in source.notes)


def zipped_pictures(folder: Path, more: dict[str, bytes] | None = None) -> Path:
    """train-0.zip, train-1.zip and test.zip, each with folders of three classes; `more` goes into the first."""
    folder.mkdir()
    for a, archive in enumerate(("train-0", "train-1", "test")):
        members = {
            f"part/{name}/{k}.png": plain_image(40 * n + 10 * a + k)
            for n, name in enumerate(("oak", "ash", "elm"))
            for k in range(2)
        }
        (folder / f"{archive}.zip").write_bytes(zipped(members | (more or {} if a == 0 else {})))
    return folder


@pytest.mark.parametrize("name", ["pictures", "1"], ids=["name", "number"])
def test_image_folder_in_zip_files(tmp_path: Path, name: str) -> None:
    source = load_source(recipe(zipped_pictures(tmp_path / name)))  # the folder's name must never become the label
    assert source.info.class_names == ("ash", "elm", "oak")
    pairs = sorted(zip(first_pixels(source.train.images), source.train.labels.tolist(), strict=True))
    assert pairs == [(40 * n + 10 * a + k, (2, 0, 1)[n]) for n in range(3) for a in range(2) for k in range(2)]
    pairs = sorted(zip(first_pixels(source.test.images), source.test.labels.tolist(), strict=True))
    assert pairs == [(40 * n + 20 + k, (2, 0, 1)[n]) for n in range(3) for k in range(2)]


@pytest.mark.parametrize("classes", [None, ["oak", "elm"]], ids=["all", "filter"])
def test_a_damaged_member_of_a_zip_file_is_named(tmp_path: Path, classes: list[str] | None) -> None:
    folder = zipped_pictures(tmp_path / "pictures", {"part/oak/9.png": b"sound"})
    archive = folder / "train-0.zip"
    archive.write_bytes(archive.read_bytes().replace(b"sound", b"SOUND"))
    why = r"train-0\.zip cannot be read: Bad CRC-32 for file 'part/oak/9\.png'"
    where = r"split 'train', train-0\.zip/part/oak/9\.png \(class 'oak'\)"
    with pytest.raises(SourceError, match=f"{where}: the image cannot be used: {why}"):
        load_source(recipe(folder, classes=classes))


def test_readme_names_configs_licence_and_citation(build: Build) -> None:
    folder = build(ROWS, ROWS[:3], names=NAMES)
    header = """---
license: [mit, cc-by-4.0]
citation: "@misc{x}"
configs:
- config_name: one
  data_files: [{split: train, path: data/train-*}, {split: test, path: data/test-*}]
- config_name: two
  data_files: [{split: train, path: data/test-*}, {split: test, path: data/train-*}]
---
"""
    (folder / "README.md").write_text(header)
    with pytest.raises(SourceError, match="several configs: one, two; choose one with --config"):
        inspect_source(recipe(folder))
    with pytest.raises(SourceError, match="no config 'tow'; did you mean two"):
        inspect_source(recipe(folder, config="tow"))
    source = load_source(recipe(folder, config="two"))
    assert (source.info.config, source.info.license, source.info.citation) == ("two", "mit, cc-by-4.0", "@misc{x}")
    assert (len(source.train.labels), len(source.test.labels)) == (3, 6)
    assert source.fingerprint != inspect_source(recipe(folder, config="one")).fingerprint


def test_filter_decodes_only_the_classes_wanted(build: Build) -> None:
    rows = [*ROWS, (b"broken", 1)]
    folder = build(rows, ROWS, names=NAMES)
    source = load_source(recipe(folder, classes=["cat", 0]))
    assert source.info.class_names == ("cat", "ant")
    assert source.info.class_ids == (2, 0)
    assert first_pixels(source.train.images) == [0, 20, 30, 50]
    assert source.train.labels.tolist() == [1, 0, 1, 0]
    with pytest.raises(SourceError, match="no class 'bat'"):
        load_source(recipe(folder, classes=["bat", "ant"]))


def test_unlabelled_rows_are_left_out_and_said_so(build: Build) -> None:
    folder = build([*ROWS, (b"never decoded", -1)], [*ROWS[:3], (ROWS[0][0], -1)], names=NAMES)
    source = load_source(recipe(folder))
    assert (len(source.train.labels), len(source.test.labels)) == (6, 3)
    assert "1 row of split 'train' has no label (-1) and is skipped" in source.notes
    assert "1 row of split 'test' has no label (-1) and is skipped" in source.notes


def test_second_read_comes_from_the_cache(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(ROWS, ROWS, names=NAMES)
    first = load_source(recipe(folder))

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("ncfm_hub.sources.parts.load_splits", fail)
    again = load_source(recipe(folder))
    assert (again.train.images == first.train.images).all()
    assert (again.info, again.notes) == (first.info, first.notes)
    with pytest.raises(AssertionError, match="decoded again"):
        load_source(recipe(folder, resolution=9))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_cache_is_noticed_and_made_again(build: Build, damage: str) -> None:
    folder = build(ROWS, ROWS, names=NAMES)
    first = load_source(recipe(folder))
    path = cache_path(first.fingerprint)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:-40]
    elif damage == "flip":
        data[-1] ^= 1
    else:
        data = bytearray()
    path.write_bytes(data)
    progress = Recorder()
    again = load_source(recipe(folder), progress=progress)
    assert (again.train.images == first.train.images).all()
    assert any("are damaged; decoding" in note for note in progress.notes)
    assert load_source(recipe(folder), progress=(silent := Recorder())).fingerprint == first.fingerprint
    assert silent.notes == ["label column 'kind', 3 classes: ant, bee, cat"]


def test_other_content_is_another_source(build: Build) -> None:
    before = load_source(recipe(build(ROWS, ROWS, names=NAMES)))
    after = load_source(recipe(build([(plain_image(99), 0), *ROWS[1:]], ROWS, names=NAMES)))
    assert before.fingerprint != after.fingerprint
    assert first_pixels(after.train.images)[0] == 99


def test_a_moved_folder_is_the_same_source(build: Build, tmp_path: Path) -> None:
    folder = build(ROWS, ROWS, names=NAMES)
    before = inspect_source(recipe(folder)).fingerprint
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert inspect_source(recipe(tmp_path / "elsewhere")).fingerprint == before


def test_a_validation_split_stands_in_for_a_missing_test(build: Build) -> None:
    folder = build(ROWS, ROWS[:3], names=NAMES, test_name="validation")
    info = inspect_source(recipe(folder))
    assert info.test_split == "validation"
    assert any("no split 'test'" in note and "'validation'" in note for note in info.notes)
    with pytest.raises(
        SourceError, match="no split 'tests'; available: train, validation; choose one with --test-split"
    ):
        inspect_source(recipe(folder, test_split="tests"))
    with pytest.raises(
        SourceError, match="no split 'training'; available: train, validation; choose one with --train-split"
    ):
        inspect_source(recipe(folder, train_split="training"))
    with pytest.raises(SourceError, match="overlap; use disjoint splits"):
        inspect_source(recipe(folder, test_split="train"))


def nan_image() -> bytes:
    values = np.zeros((8, 8), np.float32)
    values[0, 0] = np.nan
    return encoded(Image.fromarray(values), "TIFF")


@pytest.mark.parametrize(
    ("bad", "why"),
    [(b"broken", "no known format"), (None, "it is missing"), (ROWS[1][0][:48], ""), (nan_image(), "NaN")],
    ids=["foreign", "null", "truncated", "NaN"],
)
def test_a_bad_image_is_named_by_split_row_and_class(build: Build, bad: bytes | None, why: str) -> None:
    folder = build([*ROWS, (bad, 1)], ROWS, names=NAMES)
    with pytest.raises(SourceError, match=rf"split 'train', row 6 \(class 'bee'\): the image cannot be used: .*{why}"):
        load_source(recipe(folder))
    folder = build(ROWS, [ROWS[0], (bad, 2)], names=NAMES, folder="second")
    with pytest.raises(SourceError, match=r"split 'test', row 1 \(class 'cat'\)"):
        load_source(recipe(folder))


@pytest.mark.parametrize("labels", [(0, 1, 2), (0, 5, 10), ("ant", "bee", "cat")], ids=["classes", "numbers", "texts"])
def test_a_class_filter_leaves_the_rows_their_numbers(build: Build, labels: tuple[Any, ...]) -> None:
    names = NAMES if labels == (0, 1, 2) else None
    wanted = [str(label) for label in labels[1:]] if names is None else NAMES[1:]
    rows = [(data, labels[n]) for data, n in ROWS]
    folder = build(rows, [*rows, (b"broken", labels[1])], names=names)
    with pytest.raises(SourceError, match=rf"split 'test', row 6 \(class '{wanted[0]}'\): the image cannot be used"):
        load_source(recipe(folder, classes=wanted))
    # A second file of the training split; its rows are counted on from the first one's six.
    other = build([(plain_image(1), labels[0]), (b"broken", labels[2])], rows, names=names, folder="other")
    shutil.copy(other / "data" / "train-00000-of-00001.parquet", folder / "data" / "train-00001-of-00002.parquet")
    with pytest.raises(SourceError, match=rf"split 'train', row 7 \(class '{wanted[1]}'\): the image cannot be used"):
        load_source(recipe(folder, classes=wanted))


def test_the_first_bad_row_is_named_whatever_thread_meets_it(build: Build) -> None:
    rows: list[tuple[bytes | None, int]] = [(ROWS[0][0], n % 2) for n in range(1500)]
    rows[300] = rows[290] = rows[1400] = (b"broken", 0)
    with pytest.raises(SourceError, match="row 290 "):
        load_source(recipe(build(rows, ROWS[:2], names=NAMES[:2])))


def test_an_empty_training_class_stops(build: Build) -> None:
    folder = build(ROWS, ROWS, names=[*NAMES, "dodo"])
    with pytest.raises(SourceError, match="split 'train': no images of class 'dodo'; choose the others with --classes"):
        load_source(recipe(folder))
    source = load_source(recipe(folder, classes=NAMES))
    assert len(source.train.labels) == 6


def test_an_empty_test_class_is_noted(build: Build) -> None:
    source = load_source(recipe(build(ROWS, ROWS[:2], names=NAMES)))
    assert "split 'test' has no images of class 'cat'" in source.notes


def test_a_split_without_the_classes_wanted_stops(build: Build) -> None:
    folder = build(ROWS, [ROWS[0], ROWS[3]], names=NAMES)
    with pytest.raises(SourceError, match="split 'test': no labelled images of the chosen classes"):
        load_source(recipe(folder, classes=["bee", "cat"]))
    folder = build(ROWS, [(data, -1) for data, _ in ROWS], names=NAMES, folder="unlabelled")
    with pytest.raises(SourceError, match="split 'test': no labelled images"):
        load_source(recipe(folder))


@pytest.mark.parametrize(
    "path",
    [
        "{outside}/secret.png",
        "zip://secret.png::{outside}/secret.zip",
        "zip://secret.png::{outside}/made/../secret.zip",
        "zip://secret.png::zip://secret.zip::{outside}/made/train.zip",
    ],
)
def test_an_image_that_is_a_path_elsewhere_is_not_opened(tmp_path: Path, path: str) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    (tmp_path / "secret.png").write_bytes(ROWS[0][0])
    (tmp_path / "secret.zip").write_bytes(zipped({"secret.png": ROWS[0][0]}))
    features = Features(
        {"picture": {"bytes": Value("binary"), "path": Value("string")}, "kind": ClassLabel(names=NAMES)}
    )
    cells = [{"bytes": data, "path": None} for data, _ in ROWS]
    cells[2] = {"bytes": None, "path": path.format(outside=tmp_path)}
    folder = tmp_path / "made"
    folder.mkdir()
    for split in ("train", "test"):
        made = Dataset.from_dict({"picture": cells, "kind": [kind for _, kind in ROWS]}, features=features)
        made.to_parquet(folder / f"{split}.parquet")
    with pytest.raises(SourceError, match=r"row 2 \(class 'cat'\).*a path to a file outside the dataset"):
        load_source(recipe(folder, image_column="picture"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is empty; expected the files of a Hub dataset"),
        ({"notes.txt": "hello"}, "no column that could hold the image|which hold no images"),
        ({"state.json": "{}"}, "written by `save_to_disk`; write parquet"),
        ({"train.parquet": "not parquet"}, "cannot be read"),
        ({"train.zip": "not an archive"}, "cannot be read: File is not a zip file"),
        ({"README.md": "---\na: [\n---\n", "train.parquet": ""}, "YAML header of its README.md cannot be read"),
    ],
    ids=["empty", "text", "save_to_disk", "corrupt", "zip", "header"],
)
def test_folders_that_are_no_dataset(tmp_path: Path, files: dict[str, str], message: str) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        inspect_source(recipe(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_has_no_revision(build: Build) -> None:
    with pytest.raises(SourceError, match="local folder, which has no revisions"):
        inspect_source(recipe(build(ROWS, ROWS, names=NAMES), revision="v1"))
