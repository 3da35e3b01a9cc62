"""Datasets stored as tables (parquet, WebDataset), read through `datasets`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.files import nearest
from ncfm_hub.sources.opened import Only, Opened
from ncfm_hub.sources.place import Place
from ncfm_hub.sources.reading import reading

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetBuilder

_ROWS_AT_ONCE = 10_000
_PARQUET_ROWS = 256  # per batch: `datasets` defaults to the first row group's size and fails if that is empty
IMAGE_FOLDER = "imagefolder"  # name of the image folder builder in `datasets`


@dataclass(frozen=True)
class Tables(Opened):
    """A dataset opened through `datasets`."""

    builder: "DatasetBuilder"

    def stream_labels(self, split: str, column: str) -> Iterator["pa.ChunkedArray"]:
        import pyarrow as pa

        with reading(self.place):
            builder = self._narrowed([split], [column], None)
            stream = builder.as_streaming_dataset(split).select_columns([column])
            if builder.name == "parquet":
                for table in stream.with_format("arrow").iter(_ROWS_AT_ONCE):
                    yield table[column]
                return
            for batch in stream.iter(_ROWS_AT_ONCE):  # single rows have untyped nulls, which arrow cannot join
                yield pa.chunked_array([pa.array(batch[column])])

    def load(self, splits: Sequence[str], columns: Sequence[str], only: Only | None) -> dict[str, "Dataset"]:
        with reading(self.place):
            builder = self._narrowed(splits, columns, only)
            builder.download_and_prepare(verification_mode="no_checks")
            counts = {split: (builder.info.splits or {})[split].num_examples for split in splits}
            # `datasets` cannot create a split without rows.
            return {split: builder.as_dataset(split=split) for split in splits if counts[split]}

    def row_name(self, split: str, only: Only | None, row: int, loaded: int) -> str:
        import pyarrow as pa
        import pyarrow.compute as pc

        if only is None or self.builder.name != "parquet":
            return f"row {row}"
        column, values = only
        hits = [
            pc.is_in(labels, pa.array(values, labels.type)).to_numpy() for labels in self.stream_labels(split, column)
        ]
        matching = np.flatnonzero(np.concatenate(hits))
        # If the number of rows differs, the split was loaded whole: not every parquet file can be filtered.
        return f"row {matching[row] if loaded == len(matching) else row}"

    def files_of(self, split: str) -> set[str]:
        return {str(file) for file in (self.builder.config.data_files or {}).get(split, [])}

    def _narrowed(self, splits: Sequence[str], columns: Sequence[str], only: Only | None) -> "DatasetBuilder":
        """Return the dataset restricted to what is needed, if it is parquet, so that nothing else is downloaded."""
        from datasets import Features, load_dataset_builder

        builder = self.builder
        files = {split: [str(file) for file in (builder.config.data_files or {}).get(split, [])] for split in splits}
        plain = not any(mark in file for group in files.values() for file in group for mark in "*?[]{}")
        if builder.name != "parquet" or not all(files.values()) or not plain:
            return builder
        return load_dataset_builder(
            "parquet",
            data_files=files,
            features=Features({name: self.features[name] for name in columns}),
            columns=list(columns),
            filters=[(only[0], "in", list(only[1]))] if only else None,
            batch_size=_PARQUET_ROWS,
            token=self.place.token,
        )


def find_builder(place: Place, config: str | None) -> "DatasetBuilder":
    """Return the `datasets` builder for a place. Raises SourceError listing the configs if `config` is ambiguous."""
    from datasets import load_dataset_builder

    with reading(place):
        try:
            return load_dataset_builder(place.loadable, name=config, revision=place.revision, token=place.token)
        except ValueError as error:
            if "onfig" not in str(error):
                raise
            raise _config_error(place, config) from error


def open_tables(place: Place, builder: "DatasetBuilder") -> Tables:
    """Open a builder: its features and splits."""
    with reading(place):
        if builder.name == "parquet":
            builder.config.batch_size = _PARQUET_ROWS
        features = builder.info.features
        if features is None:
            builder.as_streaming_dataset()  # reads the first file's schema
            features = builder.info.features
    if features is None:
        raise SourceError(
            f"{place.dataset} contains {builder.name} files, which hold no images; expected parquet or image files"
        )
    counts = {name: split.num_examples for name, split in (builder.info.splits or {}).items()}
    splits: dict[str, Any] = {str(name): counts.get(name) for name in builder.config.data_files or counts}
    return Tables(place, config_name(builder), features, splits, (), None, builder)


def config_name(builder: "DatasetBuilder") -> str:
    """Return the configuration's name as users know it."""
    name = str(builder.config.name)
    return "default" if name.startswith("default-") else name  # followed by a hash if a folder has no configs


def _config_error(place: Place, config: str | None) -> SourceError:
    from datasets import get_dataset_config_names

    names = get_dataset_config_names(place.loadable, revision=place.revision, token=place.token)
    if config is None:
        return SourceError(f"{place.dataset} has several configs: {', '.join(names)}; choose one with --config")
    return SourceError(f"{place.dataset} has no config {config!r}{nearest(config, names, 'configs')}")
