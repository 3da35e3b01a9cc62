"""Decode the images of both parts of a source: those for training and those for testing."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.classes import UNLABELLED, Classes
from ncfm_hub.sources.decoding import MOST_DAMAGED, decode_rows, image_roots
from ncfm_hub.sources.opened import Only, Opened
from ncfm_hub.sources.read import NoImages, labels_of, load_splits
from ncfm_hub.sources.splits import check_apart, is_slice, rows_of_part, split_of
from ncfm_hub.sources.types import SourceInfo
from ncfm_hub.utils.counting import counted, things
from ncfm_hub.utils.progress import Progress

if TYPE_CHECKING:
    from datasets import Dataset

_NAMED = 3  # skipped images named in a note


def read_parts(
    info: SourceInfo, opened: Opened, classes: Classes, skip_damaged: bool, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (tensors, facts) of both parts; a test part without labelled images only gives a note.

    Raises SourceError naming up to ten damaged images, unless `skip_damaged`.
    """
    return _Reading(info, opened, classes, skip_damaged, progress).read()


class _Reading:
    def __init__(
        self, info: SourceInfo, opened: Opened, classes: Classes, skip_damaged: bool, progress: Progress
    ) -> None:
        self._info, self._opened, self._classes = info, opened, classes
        self._skip_damaged, self._progress = skip_damaged, progress
        self._parts = {"train": info.train_split} | ({"test": info.test_split} if info.test_split else {})
        # A slice counts rows before other classes are left out.
        whole = any(map(is_slice, self._parts.values())) or not classes.chosen
        self._only: Only | None = None if whole else (info.label_column, classes.values)
        self._notes: list[str] = []
        self._rows: dict[str, int] = {}
        self._remarks: Counter[str] = Counter()
        self._damaged: list[str] = []

    def read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        info = self._info
        at = f" at {info.revision[:12]}" if info.revision else ""
        self._progress.note(f"reading {info.dataset}{at}: {' and '.join(self._parts.values())}")
        tensors: dict[str, Any] = {}
        for role, part in self._parts.items():
            try:
                images, labels = self._read_part(role, part)
                if not self._damaged:
                    self._notes += _check_counts(info, labels, role, part)
            except NoImages:
                if role == "train":
                    raise
                # Does not name the dataset's path, since the cache shares these notes with other copies.
                self._notes.append(f"split {part!r}: no labelled images, so test accuracy is not measured")
                continue
            tensors |= {f"{role}_images": images, f"{role}_labels": labels}
        self._refuse_damaged()
        self._notes += _remark_notes(self._remarks, info.channels)
        return tensors, {"notes": self._notes, "rows": self._rows}

    def _read_part(self, role: str, part: str) -> tuple[Any, Any]:
        """Return (images, labels) of one part; images of classes left out are not decoded."""
        import torch

        info = self._info
        split, first = self._load(part)
        stored = labels_of(split, info.label_column)
        positions = self._classes.positions(stored, f"{info.dataset}, split {part!r}")
        self._count(role, part, len(split), self._classes.without_label(stored))
        rows = np.flatnonzero(positions != UNLABELLED)
        images = np.empty((len(rows), info.channels, info.resolution, info.resolution), np.uint8)
        at_most = None if self._skip_damaged else MOST_DAMAGED - len(self._damaged)
        with self._progress.bar(len(rows), f"decode {part}") as bar:
            roots = image_roots(self._opened.place)
            found = decode_rows(split, info.image_column, rows, images, bar, roots, at_most)
        self._remarks.update(found.remarks)
        if damaged := found.damaged:
            names = {
                row: self._opened.row_name(split_of(part), self._only, first + int(rows[row]), len(split))
                for row in damaged
            }
            self._note_damaged(part, damaged, names, positions[rows])
            sound = np.setdiff1d(np.arange(len(rows)), list(damaged))
            images, rows = images[sound], rows[sound]
        return torch.from_numpy(images), torch.from_numpy(positions[rows])

    def _load(self, part: str) -> tuple["Dataset", int]:
        """Return the rows of a part, and the number of its first row in the split."""
        info, split = self._info, split_of(part)
        whole = load_splits(self._opened, (split,), (info.image_column, info.label_column), self._only)[split]
        if not is_slice(part):
            return whole, 0
        if info.test_split:
            check_apart(info.train_split, info.test_split, len(whole), info.dataset)
        rows = rows_of_part(part, len(whole))
        return whole.select(rows), rows.start

    def _count(self, role: str, part: str, rows: int, without: Mapping[str, int]) -> None:
        if self._only is None:
            known = {"train": self._info.train_examples, "test": self._info.test_examples}[role]
            self._rows[role] = rows
            if known not in (None, rows):
                self._notes.append(f"split {part!r} has {counted(rows, 'row')}; its card says {known}")
        if without:
            self._notes.append(unlabelled_note(without, f"split {part!r}"))

    def _note_damaged(
        self, part: str, damaged: Mapping[int, str], names: Mapping[int, str], positions: np.ndarray
    ) -> None:
        if self._skip_damaged:
            named = ", ".join(list(names.values())[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            self._notes.append(f"{counted(len(names), 'damaged image')} of split {part!r} skipped: {named}")
            return
        for row, why in damaged.items():
            label = self._info.class_names[positions[row]]
            self._damaged.append(f"split {part!r}, {names[row]} (class {label!r}): the image cannot be used: {why}")

    def _refuse_damaged(self) -> None:
        if not self._damaged:
            return
        count = len(self._damaged)
        head = f"{count}{' or more' if count >= MOST_DAMAGED else ''} damaged images: " if count > 1 else ""
        raise SourceError(
            f"{self._info.dataset}, {head}{'; '.join(self._damaged)}; --skip-damaged skips damaged images"
        )


def unlabelled_note(without: Mapping[str, int], where: str) -> str:
    """Return a note on rows left out for lack of a label. without: their number, by the value in its place."""
    count = sum(without.values())
    marks = " or ".join(without)
    return (
        f"{counted(count, 'row')} of {where} {things(count, 'has', 'have')} no label ({marks}) "
        f"and {things(count, 'is', 'are')} skipped"
    )


def _check_counts(info: SourceInfo, labels: Any, role: str, split: str) -> list[str]:
    """Return notes on classes without an image.

    Raises SourceError if the split, or a class of the training split, is empty.
    """
    if len(labels) == 0:
        raise NoImages(info.dataset, split)
    counts = np.bincount(labels.numpy(), minlength=len(info.class_names))
    empty = [repr(info.class_names[c]) for c in np.flatnonzero(counts == 0)]
    if not empty:
        return []
    listed = ", ".join(empty[:10]) + (", ..." if len(empty) > 10 else "")
    if role == "train":
        sorted_rows = " (rows may be sorted by class; --validation samples every class)"
        raise SourceError(
            f"{info.dataset}, split {split!r}: no images of class {listed}; choose the others with --classes"
            f"{sorted_rows if is_slice(split) else ''}"
        )
    return [f"split {split!r} has no images of class {listed}"]


def _remark_notes(remarks: Counter[str], channels: int) -> list[str]:
    notes = []
    if channels == 3 and remarks["grey"]:
        notes.append(f"{counted(remarks['grey'], 'greyscale image is', 'greyscale images are')} repeated to 3 channels")
    if channels == 1 and remarks["colour"]:
        notes.append(f"{counted(remarks['colour'], 'colour image is', 'colour images are')} converted to greyscale")
    if remarks["transparent"]:
        notes.append(
            f"{counted(remarks['transparent'], 'transparent image is', 'transparent images are')} composited on white"
        )
    if remarks["16-bit"]:
        notes.append(f"{counted(remarks['16-bit'], '16-bit image is', '16-bit images are')} scaled to 8 bits")
    return notes
