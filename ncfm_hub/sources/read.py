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

MOST_DAMAGED = 10  # images that one message names
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


def label_counts(opened: Opened, split: str, column: str) -> Counter[Any]:
    """How often each label of a column occurs, nulls left out. SourceError for one that cannot be a label."""
    found: Counter[Any] = Counter()
    for labels in opened.stream_labels(split, column):
        for one in labels.value_counts().to_pylist():
            found[one["values"]] += one["counts"]
    found = Counter({label: count for label, count in found.items() if label is not None and label == label})  # no NaN
    broken = next((label for label in found if isinstance(label, float) and not label.is_integer()), None)
    if broken is not None:
        raise SourceError(
            f"{opened.place.dataset}, split {split!r}: column {column!r} holds {broken:g}, which is no label "
            "(expected whole numbers or text); pick another with --label-column"
        )
    return found


def row_count(opened: Opened, split: str, column: str) -> int:
    """The number of rows of a split, by one of its columns."""
    return sum(len(labels) for labels in opened.stream_labels(split, column))


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


def decode_rows(
    split: "Dataset",
    column: str,
    rows: np.ndarray,
    out: np.ndarray,
    bar: Bar,
    roots: Sequence[Path],
    at_most: int | None = MOST_DAMAGED,
) -> tuple[Counter[str], dict[int, str]]:
    """Decode `rows` (N,) of an image column into `out`, uint8 (N, channels, H, W).

    roots: folders that an image stored as a path may lie in
    at_most: how many images that cannot be used may be met before the rest is not even looked at; None: any number
    Returns how often each remark fell, and why each of the first damaged images (0..N-1) cannot be used.
    """
    images = split.select_columns([column]).with_format("arrow")
    remarks: Counter[str] = Counter()
    damaged: dict[int, str] = {}
    stored = Cells(roots)

    def decode(cells: list[Any], start: int) -> tuple[Counter[str], dict[int, str]]:
        seen: Counter[str] = Counter()
        bad: dict[int, str] = {}
        for index, cell in enumerate(cells, start):
            try:
                out[index], found = decode_image(stored.encoded(cell), out.shape[-1], out.shape[1])
            except Undecodable as error:
                bad[index] = str(error)
                continue
            seen.update(found)
        return seen, bad

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[tuple[int, Future[tuple[Counter[str], dict[int, str]]]]] = deque()

    def collect() -> None:
        count, future = waiting.popleft()
        seen, bad = future.result()
        remarks.update(seen)
        damaged.update(bad)
        bar.advance(count)

    def enough() -> bool:
        return at_most is not None and len(damaged) >= at_most

    with stored, ThreadPoolExecutor(workers) as pool:
        try:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                if enough():
                    break
                chosen = rows[start : start + _ROWS_AT_ONCE]
                # Taken in order, so that the rows in a message are the first bad ones whatever thread met them.
                waiting.append((len(chosen), pool.submit(decode, images[chosen][column].to_pylist(), start)))
                if len(waiting) > 2 * workers:
                    collect()
            while waiting and not enough():
                collect()
        finally:
            for _, future in waiting:
                future.cancel()
    return remarks, damaged if at_most is None else dict(list(damaged.items())[:at_most])


def image_roots(place: Place) -> list[Path]:
    """Where images stored as paths may lie: the folder itself, or the caches of the Hub's clients."""
    from datasets import config
    from huggingface_hub import constants

    caches = [config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE]
    return [place.folder] if place.folder else [Path(os.path.abspath(cache)) for cache in caches]
