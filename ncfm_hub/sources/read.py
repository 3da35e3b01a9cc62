"""Splits of a dataset: which there are, their labels, their images decoded in parallel."""

import os
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ncfm_hub.errors import SourceError
from ncfm_hub.progress import Bar
from ncfm_hub.sources.cells import Cells
from ncfm_hub.sources.decode import Undecodable, decode_image
from ncfm_hub.sources.images import open_image_folder
from ncfm_hub.sources.listing import METADATA_NAMES, holds_images
from ncfm_hub.sources.opened import Only, Opened
from ncfm_hub.sources.place import Place
from ncfm_hub.sources.tables import IMAGE_FOLDER, find_builder, open_tables

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

_ROWS_AT_ONCE = 256
_TABLES = frozenset({".parquet", ".arrow", ".tar"})


def open_dataset(place: Place, config: str | None, label_column: str | None = None) -> Opened:
    """Read the layout: features, splits and the labels of image folders; no image. SourceError says what is wrong."""
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
    """Whether there is a file that may hold rows with images in them."""
    paths = [PurePosixPath(file) for file in files]
    return any(path.suffix.lower() in _TABLES and path.name not in METADATA_NAMES for path in paths)


def distinct_labels(opened: Opened, split: str, column: str) -> list[Any]:
    """The distinct values of a label column, without nulls."""
    found: set[Any] = set()
    for labels in opened.stream_labels(split, column):
        found.update(labels.unique().to_pylist())
    return sorted(found - {None})


def load_splits(
    opened: Opened, splits: Sequence[str], columns: Sequence[str], only: Only | None
) -> dict[str, "Dataset"]:
    """What `Opened.load` gives. SourceError for a split that has no row."""
    found = opened.load(splits, columns, only)
    for split in splits:
        if split not in found:
            raise NoImages(opened.place.dataset, split)
    return found


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
