"""Splits of a dataset: their names, labels and rows."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.images import open_image_folder
from ncfm_hub.sources.listing import METADATA_NAMES, holds_images
from ncfm_hub.sources.opened import Only, Opened
from ncfm_hub.sources.place import Place
from ncfm_hub.sources.tables import IMAGE_FOLDER, find_builder, open_tables

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

_TABLES = frozenset({".parquet", ".arrow", ".tar"})


def open_dataset(place: Place, config: str | None, label_column: str | None = None) -> Opened:
    """Read the layout: features, splits and labels of image folders, but no images. Raises SourceError."""
    if (
        config is None
        and not place.card.get("configs")
        and holds_images(place.files)
        and not _holds_tables(place.files)
    ):
        return open_image_folder(place, None, label_column)
    builder = find_builder(place, config)
    if builder.name == IMAGE_FOLDER:
        return open_image_folder(place, builder, label_column)
    return open_tables(place, builder)


def _holds_tables(files: Sequence[str]) -> bool:
    """Return whether there is a file that may contain rows with images."""
    paths = [PurePosixPath(file) for file in files]
    return any(path.suffix.lower() in _TABLES and path.name not in METADATA_NAMES for path in paths)


def label_counts(opened: Opened, split: str, column: str) -> Counter[Any]:
    """Count each label of a column, without nulls. Raises SourceError for a value that cannot be a label."""
    found: Counter[Any] = Counter()
    for labels in opened.stream_labels(split, column):
        for one in labels.value_counts().to_pylist():
            found[one["values"]] += one["counts"]
    found = Counter({label: count for label, count in found.items() if label is not None and label == label})  # no NaN
    broken = next((label for label in found if isinstance(label, float) and not label.is_integer()), None)
    if broken is not None:
        raise SourceError(
            f"{opened.place.dataset}, split {split!r}: column {column!r} holds {broken:g}, which is not a label "
            "(expected integers or text); choose another with --label-column"
        )
    return found


def row_count(opened: Opened, split: str, column: str) -> int:
    """Return the number of rows of a split, counted in one of its columns."""
    return sum(len(labels) for labels in opened.stream_labels(split, column))


def load_splits(
    opened: Opened, splits: Sequence[str], columns: Sequence[str], only: Only | None
) -> dict[str, "Dataset"]:
    """Return the result of `Opened.load`. Raises SourceError for a split without rows."""
    found = opened.load(splits, columns, only)
    for split in splits:
        if split not in found:
            raise NoImages(opened.place.dataset, split)
    return found


class NoImages(SourceError):
    """A split contains no usable image."""

    def __init__(self, dataset: str, split: str) -> None:
        super().__init__(f"{dataset}, split {split!r}: no labelled images of the chosen classes")


def labels_of(split: "Dataset", column: str) -> "pa.ChunkedArray":
    """Return a column as stored."""
    return split.select_columns([column]).with_format("arrow")[:][column]
