"""Decode many images in parallel."""

import os
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ncfm_hub.sources.cells import Cells
from ncfm_hub.sources.decode import Undecodable, decode_image
from ncfm_hub.sources.place import Place
from ncfm_hub.utils.progress import Bar

if TYPE_CHECKING:
    from datasets import Dataset

MOST_DAMAGED = 10  # images named in one message
_ROWS_AT_ONCE = 256


@dataclass
class Decoded:
    """Result of decoding.

    remarks: number of images per remark
    damaged: why an image cannot be used, by its position among those requested
    """

    remarks: Counter[str] = field(default_factory=Counter)
    damaged: dict[int, str] = field(default_factory=dict)

    def add(self, other: "Decoded") -> None:
        self.remarks.update(other.remarks)
        self.damaged.update(other.damaged)


def decode_rows(
    split: "Dataset",
    column: str,
    rows: np.ndarray,
    out: np.ndarray,
    bar: Bar,
    roots: Sequence[Path],
    at_most: int | None = MOST_DAMAGED,
) -> Decoded:
    """Decode `rows` (N,) of an image column into `out`, uint8 (N, channels, H, W).

    roots: folders that may contain images stored as paths
    at_most: stop after this many unusable images; None for no limit
    """
    images = split.select_columns([column]).with_format("arrow")
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[tuple[int, Future[Decoded]]] = deque()
    found = Decoded()

    def go_on(until: int) -> bool:
        """Collect results until `until` are pending; returns whether to continue.

        In order of submission, so that the reported images do not depend on timing.
        """
        while len(waiting) > until and (at_most is None or len(found.damaged) < at_most):
            count, future = waiting.popleft()
            found.add(future.result())
            bar.advance(count)
        return at_most is None or len(found.damaged) < at_most

    with Cells(roots) as stored, ThreadPoolExecutor(workers) as pool:
        try:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                if not go_on(2 * workers):
                    break
                chosen = rows[start : start + _ROWS_AT_ONCE]
                cells = images[chosen][column].to_pylist()
                waiting.append((len(chosen), pool.submit(_decode, stored, cells, start, out)))
            go_on(0)
        finally:
            for _, future in waiting:
                future.cancel()
    found.damaged = dict(list(found.damaged.items())[:at_most])
    return found


def _decode(stored: Cells, cells: Sequence[Any], start: int, out: np.ndarray) -> Decoded:
    found = Decoded()
    for index, cell in enumerate(cells, start):
        try:
            out[index], remarks = decode_image(stored.encoded(cell), out.shape[-1], out.shape[1])
        except Undecodable as error:
            found.damaged[index] = str(error)
            continue
        found.remarks.update(remarks)
    return found


def image_roots(place: Place) -> list[Path]:
    """Return where images stored as paths may lie: the local folder, or the caches of the Hub clients."""
    from datasets import config
    from huggingface_hub import constants

    caches = [config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE]
    return [place.folder] if place.folder else [Path(os.path.abspath(cache)) for cache in caches]
