"""Splits of a dataset, through `datasets`: which there are, their labels, their images decoded in parallel."""

import os
import zipfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ncfm_hub.errors import SourceError
from ncfm_hub.pipeline_files import nearest
from ncfm_hub.progress import Bar
from ncfm_hub.sources.cells import Cells
from ncfm_hub.sources.decode import Undecodable, decode_image
from ncfm_hub.sources.hub import hub_errors, quiet_clients
from ncfm_hub.sources.place import Place

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetBuilder, Features

Only = tuple[str, Sequence[int | str]]  # a label column, and the values wanted of it
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Opened:
    """A dataset whose layout is known and whose data need not be here yet.

    splits: every split with its number of rows, None where the card does not say
    """

    place: Place
    builder: "DatasetBuilder"
    features: "Features"
    splits: dict[str, int | None]


def open_dataset(place: Place, config: str | None) -> Opened:
    """Read the layout: features and splits; no image. SourceError names configs if `config` does not settle one."""
    from datasets import load_dataset_builder

    with _reading(place):
        try:
            builder = load_dataset_builder(place.loadable, name=config, revision=place.revision, token=place.token)
        except ValueError as error:
            if "onfig" not in str(error):
                raise
            raise _config_error(place, config) from error
        if builder.name == "imagefolder":
            _label_inside_archives(builder)
        features = builder.info.features
        if features is None:
            builder.as_streaming_dataset()  # reads the schema of the first file, or the names of folders
            features = builder.info.features
    if features is None:
        raise SourceError(
            f"{place.dataset} holds {builder.name} files, which have no images; expected parquet or images"
        )
    counts = {name: split.num_examples for name, split in (builder.info.splits or {}).items()}
    names = list(builder.config.data_files or counts)
    return Opened(place, builder, features, {str(name): counts.get(name) for name in names})


def _label_inside_archives(builder: Any) -> None:
    """Have images in a .zip file labelled by their folder in it; `datasets` 5.2 takes the folder it lies in itself."""
    split_generators = builder._split_generators

    def mended(manager: Any) -> Any:
        splits = split_generators(manager)
        for split in splits:
            # Each entry: what the label is told by, the archive, what is inside.
            split.gen_kwargs["files"] = tuple(
                (None if archive else file, archive, inside) for file, archive, inside in split.gen_kwargs["files"]
            )
        return splits

    builder._split_generators = mended


def _config_error(place: Place, config: str | None) -> SourceError:
    from datasets import get_dataset_config_names

    names = get_dataset_config_names(place.loadable, revision=place.revision, token=place.token)
    if config is None:
        return SourceError(f"{place.dataset} has several configs: {', '.join(names)}; pick one with --config")
    return SourceError(f"{place.dataset} has no config {config!r}{nearest(config, names, 'configs')}")


def distinct_labels(opened: Opened, split: str, column: str) -> list[Any]:
    """The distinct values of a label column, read without its images where the files allow it."""
    with _reading(opened.place):
        found: set[Any] = set()
        for labels in _streamed_labels(opened, split, column):
            found.update(labels.unique().to_pylist())
    return sorted(found - {None})


def source_row(opened: Opened, split: str, only: Only | None, row: int, loaded: int) -> int:
    """The number in the source of a row of a split that `load_splits` gave for `only`, with `loaded` rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if only is None or opened.builder.name != "parquet":
        return row
    column, values = only
    with _reading(opened.place):
        hits = [
            pc.is_in(labels, pa.array(values, labels.type)).to_numpy()
            for labels in _streamed_labels(opened, split, column)
        ]
    matching = np.flatnonzero(np.concatenate(hits))
    # With another number of rows the split was loaded whole: not every parquet file can be narrowed.
    return int(matching[row]) if loaded == len(matching) else row


def _streamed_labels(opened: Opened, split: str, column: str) -> Iterator["pa.ChunkedArray"]:
    builder = _narrowed(opened, [split], [column], None)
    stream = builder.as_streaming_dataset(split).select_columns([column]).with_format("arrow")
    for table in stream.iter(batch_size=10_000):
        yield table[column]


def load_splits(
    opened: Opened, splits: Sequence[str], columns: Sequence[str], only: Only | None
) -> dict[str, "Dataset"]:
    """Fetch `splits` with these columns, and `only` the rows whose (column, values) match where the files allow it."""
    with _reading(opened.place):
        builder = _narrowed(opened, splits, columns, only)
        builder.download_and_prepare(verification_mode="no_checks")
        for split in splits:
            if not (builder.info.splits or {})[split].num_examples:
                raise NoImages(opened.place.dataset, split)
        return {split: builder.as_dataset(split=split) for split in splits}


def _narrowed(opened: Opened, splits: Sequence[str], columns: Sequence[str], only: Only | None) -> "DatasetBuilder":
    """The same dataset cut to what is needed, if it is parquet: other splits and columns are then never fetched."""
    from datasets import Features, load_dataset_builder

    builder = opened.builder
    files = {split: [str(file) for file in (builder.config.data_files or {}).get(split, [])] for split in splits}
    plain = not any(mark in file for group in files.values() for file in group for mark in "*?[]{}")
    if builder.name != "parquet" or not all(files.values()) or not plain:
        return builder
    return load_dataset_builder(
        "parquet",
        data_files=files,
        features=Features({name: opened.features[name] for name in columns}),
        columns=list(columns),
        filters=[(only[0], "in", list(only[1]))] if only else None,
        token=opened.place.token,
    )


class NoImages(SourceError):
    """A split from which nothing can be used."""

    def __init__(self, dataset: str, split: str) -> None:
        super().__init__(f"{dataset}, split {split!r}: there is no labelled image of the classes wanted")


def labels_of(split: "Dataset", column: str) -> "pa.ChunkedArray":
    """One column as it is stored."""
    return split.select_columns([column]).with_format("arrow")[:][column]


class BadImage(Exception):
    """An image that cannot be used: its place among the rows asked for, and as text why."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(why)
        self.index = index


def decode_rows(
    split: "Dataset", column: str, rows: np.ndarray, out: np.ndarray, bar: Bar, roots: Sequence[Path]
) -> Counter[str]:
    """Decode `rows` (N,) of an image column into `out`, uint8 (N, channels, H, W); returns how often each remark fell.

    roots: folders that an image stored as a path may lie in
    Raises BadImage for the first row whose image cannot be used.
    """
    images = split.select_columns([column]).with_format("arrow")
    remarks: Counter[str] = Counter()
    stored = Cells(roots)

    def decode(cells: list[Any], start: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        for index, cell in enumerate(cells, start):
            try:
                out[index], found = decode_image(stored.encoded(cell), out.shape[-1], out.shape[1])
            except Undecodable as error:
                raise BadImage(index, str(error)) from error
            seen.update(found)
        return seen

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[tuple[int, Future[Counter[str]]]] = deque()

    def collect() -> None:
        count, future = waiting.popleft()
        remarks.update(future.result())
        bar.advance(count)

    with stored, ThreadPoolExecutor(workers) as pool:
        try:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                chosen = rows[start : start + _ROWS_AT_ONCE]
                # Taken in order, so that the row in a message is the first bad one whatever thread met it.
                waiting.append((len(chosen), pool.submit(decode, images[chosen][column].to_pylist(), start)))
                if len(waiting) > 2 * workers:
                    collect()
            while waiting:
                collect()
        finally:
            for _, future in waiting:
                future.cancel()
    return remarks


def image_roots(place: Place) -> list[Path]:
    """Where images stored as paths may lie: the folder itself, or the caches of the Hub's clients."""
    from datasets import config
    from huggingface_hub import constants

    caches = [config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE]
    return [place.folder] if place.folder else [Path(os.path.abspath(cache)) for cache in caches]


@contextmanager
def _reading(place: Place) -> Iterator[None]:
    """What `datasets` raises on files that it cannot use, as a SourceError."""
    from datasets.exceptions import DatasetsError

    with quiet_clients(), hub_errors(f"dataset {place.dataset}", place.revision):
        try:
            yield
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error):
                raise
            raise SourceError(
                f"{place.dataset} is a loading script, which `datasets` no longer runs; "
                "try its parquet copy: --revision refs/convert/parquet"
            ) from error
        except (DatasetsError, FileNotFoundError, ValueError, zipfile.BadZipFile) as error:
            raise SourceError(f"{place.dataset} cannot be read: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None and not isinstance(error.__cause__, SourceError):
        error = error.__cause__  # the reason, below what `datasets` wrapped around it
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
