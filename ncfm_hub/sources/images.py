"""Image folders: rows are image files, labelled by class folders or metadata files; .zip archives included."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.fetching import archive_names, contents, fetch
from ncfm_hub.sources.given import given_splits, wanted_by
from ncfm_hub.sources.layout import Arrangement
from ncfm_hub.sources.listing import Listed, list_images
from ncfm_hub.sources.metadata import read_metadata
from ncfm_hub.sources.opened import Only, Opened
from ncfm_hub.sources.place import Place
from ncfm_hub.sources.tables import config_name
from ncfm_hub.utils.counting import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetBuilder, Features

_IMAGE = "image"
_READER = "image folders 1"  # change whenever the same files give other rows or labels


@dataclass(frozen=True)
class ImageFolder(Opened):
    """An opened image folder.

    images: all images
    rows: row numbers of each split
    said: values of each image by column, from its class folder and metadata files
    """

    images: Sequence[Listed]
    rows: Mapping[str, list[int]]
    said: "Mapping[str, pa.ChunkedArray]"

    def stream_labels(self, split: str, column: str) -> Iterator["pa.ChunkedArray"]:
        yield self.said[column].take(self.rows[split])

    def load(self, splits: Sequence[str], columns: Sequence[str], only: Only | None) -> dict[str, "Dataset"]:
        chosen = {split: self._chosen(split, only) for split in splits}
        where = fetch(self.place, sorted({self.images[row].file for rows in chosen.values() for row in rows}))
        return {split: self._dataset(rows, columns, where) for split, rows in chosen.items() if rows}

    def row_name(self, split: str, only: Only | None, row: int, loaded: int) -> str:
        chosen = self._chosen(split, only)
        # If the number of rows differs, the split was loaded whole.
        return self.images[(chosen if len(chosen) == loaded else self.rows[split])[row]].name

    def files_of(self, split: str) -> set[str]:
        images, folder = [self.images[row] for row in self.rows[split]], self.place.folder
        if folder is None:
            return {image.name for image in images}
        return {os.path.realpath(folder / image.name) for image in images}

    def _chosen(self, split: str, only: Only | None) -> list[int]:
        rows = self.rows[split]
        if only is None:
            return rows
        column, values = only
        wanted = set(values)
        labels = self.said[column].take(rows).to_pylist()
        return [row for row, label in zip(rows, labels, strict=True) if label in wanted]

    def _dataset(self, rows: Sequence[int], columns: Sequence[str], where: Mapping[str, Path]) -> "Dataset":
        import pyarrow as pa
        from datasets import Dataset, DatasetInfo, Features
        from datasets.table import InMemoryTable

        features = Features({name: self.features[name] for name in columns})
        cells = [{"bytes": None, "path": _path(self.images[row], where)} for row in rows]
        schema = features.arrow_schema
        arrays = [
            pa.array(cells, field.type) if field.name == _IMAGE else self.said[field.name].take(rows)
            for field in schema
        ]
        return Dataset(InMemoryTable(pa.table(arrays, schema.names).cast(schema)), DatasetInfo(features=features))


def _path(image: Listed, where: Mapping[str, Path]) -> str:
    """Return the path of an image, in the notation of `datasets` if it is in an archive."""
    return str(where[image.file]) if image.member is None else f"zip://{image.member}::{where[image.file]}"


def open_image_folder(place: Place, builder: "DatasetBuilder | None", label_column: str | None) -> ImageFolder:
    """Find images, splits and labels. Class folders give the label unless `label_column` names a metadata column.

    builder: from `datasets` if the README declares configurations, which may assign files to splits
    Raises SourceError naming a file if the layout is not supported.
    """
    listed = list_images(place.files, partial(archive_names, place))
    images, metadata = (wanted_by(builder, some, place) for some in listed) if builder else listed
    if not images:
        raise SourceError(f"{place.dataset} contains no images; expected images in class folders, or parquet files")
    images.sort(key=lambda image: image.place)
    said, notes = _said(images, metadata, place)
    arrangement = Arrangement(images, place.dataset, bool(metadata), label_column not in said)
    given = given_splits(builder, images, place) if builder else None
    layout = arrangement.guess() if given is None else arrangement.given(given)
    features = _features(said)
    if layout.classes:
        name, feature, numbers = _class_folders([layout.classes.get(n) for n in range(len(images))], said)
        if metadata:
            others = f" ({', '.join(said)})" if said else ""
            notes.append(
                f"classes are taken from folder names; --label-column selects a metadata column instead{others}"
            )
        features[name], said[name] = feature, numbers
    config = config_name(builder) if builder else "default"
    counts: dict[str, int | None] = {split: len(rows) for split, rows in layout.splits.items()}
    notes = [*layout.notes, *notes]
    return ImageFolder(place, config, features, counts, tuple(notes), _READER, images, layout.splits, said)


def _said(
    images: Sequence[Listed], metadata: Sequence[Listed], place: Place
) -> "tuple[dict[str, pa.ChunkedArray], list[str]]":
    """Return the metadata of each image by column, and notes."""
    import pyarrow as pa

    if not metadata:
        return {}, []
    table, named, missing = read_metadata(contents(place, metadata), {image.place for image in images}, place.dataset)
    rows = pa.array([named.get(image.place) for image in images], pa.int64())
    notes = [f"{counted(missing, 'row')} of the metadata skipped: no such image"] if missing else []
    columns = {name: table[name].take(rows) for name in table.column_names if name != _IMAGE}
    return columns, notes


def _class_folders(folders: Sequence[str | None], said: Mapping[str, Any]) -> "tuple[str, Any, pa.ChunkedArray]":
    """Return the name and type of a label column, and the labels."""
    import pyarrow as pa
    from datasets import ClassLabel

    names = sorted({folder for folder in folders if folder is not None})
    place = {name: number for number, name in enumerate(names)}
    numbers = pa.chunked_array([[None if folder is None else place[folder] for folder in folders]], pa.int64())
    return "label" if "label" not in said else "class folder", ClassLabel(names=names), numbers


def _features(said: "Mapping[str, pa.ChunkedArray]") -> "Features":
    import pyarrow as pa
    from datasets import Features, Image

    schema = pa.schema([(name, column.type) for name, column in said.items()])
    return Features({_IMAGE: Image()} | Features.from_arrow_schema(schema))
