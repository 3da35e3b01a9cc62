"""A third-party distilled dataset: the images of one split, with labels numbered as in the source."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources.classes import UNLABELLED, Classes, classes_of_feature, classes_of_values
from ncfm_hub.sources.columns import image_column, label_column
from ncfm_hub.sources.decoding import decode_rows, image_roots
from ncfm_hub.sources.parts import unlabelled_note
from ncfm_hub.sources.place import find_place
from ncfm_hub.sources.read import (
    Opened,
    label_counts,
    labels_of,
    load_splits,
    open_dataset,
)
from ncfm_hub.sources.types import ImageSet, SourceInfo
from ncfm_hub.utils.progress import Progress

if TYPE_CHECKING:
    import torch

_SPLIT = "train"
_SOFT = "soft_label"


def load_labelled_images(
    dataset: str, revision: str | None, source: SourceInfo, *, token: str | None, progress: Progress
) -> "tuple[ImageSet, torch.Tensor | None]":
    """Load a dataset made from `source`, at the source's size and channels, with soft labels if it has them.

    Reads the split `train`, or the only split, and the columns named as in the source, or the only ones of their type.
    Classes are matched by name, or by the source's numbers if labels are numbers or numeric texts. Soft labels are a
    column `soft_label` of C probabilities in the source's order of classes, returned as float32 (N, C).
    Raises SourceError if columns, classes or probabilities do not match the source.
    """
    import torch

    place = find_place(SourceRecipe(dataset=dataset, revision=revision), token)
    opened = open_dataset(place, None)
    # Among several columns, the one named as in the source.
    images, labels = (
        pick(opened.features, name if name in opened.features else None, dataset, f"the source's is called {name!r}")
        for pick, name in ((image_column, source.image_column), (label_column, source.label_column))
    )
    split = _only_split(opened)
    classes = _classes(opened, split, labels)
    order = _order(classes, source, dataset)
    columns = [images, labels] + ([_SOFT] if _SOFT in opened.features else [])
    table: Any = load_splits(opened, (split,), columns, None)[split]
    where = f"{dataset}, split {split!r}"
    stored = labels_of(table, labels)
    positions = classes.positions(stored, where)
    rows = np.flatnonzero(positions != UNLABELLED)
    without = classes.without_label(stored)
    if without:
        progress.note(unlabelled_note(without, where))
    found = order[positions[rows]]
    out = np.empty((len(rows), source.channels, source.resolution, source.resolution), np.uint8)
    with progress.bar(len(rows), f"decode {split}") as bar:
        damaged = decode_rows(table, images, rows, out, bar, image_roots(place)).damaged
    if damaged:
        named = "; ".join(
            f"{opened.row_name(split, None, int(rows[index]), len(table))}: the image cannot be used: {why}"
            for index, why in damaged.items()
        )
        raise SourceError(f"{where}, {named}")
    soft = _probabilities(table, _order_of_columns(classes, order), where)[rows] if _SOFT in columns else None
    missing = sorted(set(range(len(source.class_names))) - set(found.tolist()))
    if missing:
        raise SourceError(f"{where}: no images of class {source.class_names[missing[0]]!r} of {source.dataset}")
    return ImageSet(torch.from_numpy(out), torch.from_numpy(found)), None if soft is None else torch.from_numpy(soft)


def _only_split(opened: Opened) -> str:
    splits = list(opened.splits)
    if _SPLIT in splits or len(splits) == 1:
        return _SPLIT if _SPLIT in splits else splits[0]
    raise SourceError(f"{opened.place.dataset} has no split {_SPLIT!r}; available: {', '.join(splits) or 'none'}")


def _classes(opened: Opened, split: str, column: str) -> Classes:
    feature: Any = opened.features[column]
    if hasattr(feature, "names"):
        return classes_of_feature(feature.names)
    return classes_of_values(list(label_counts(opened, split, column)))


def _order(classes: Classes, source: SourceInfo, dataset: str) -> np.ndarray:
    """Return the source's position of each class of the dataset, int64."""
    known = {name: position for position, name in enumerate(source.class_names)}
    if set(classes.names) == set(known):
        return np.array([known[name] for name in classes.names])
    numbers = {str(number): position for position, number in enumerate(source.class_ids)}
    if set(classes.names) == set(numbers):  # numbers or numeric texts
        return np.array([numbers[name] for name in classes.names])
    strange = next((name for name in classes.names if name not in known), None)
    what = f"unknown class {strange!r}" if strange else f"it has {len(classes.names)} of {len(known)}"
    raise SourceError(f"{dataset} does not have the classes of {source.dataset}: {what}")


def _order_of_columns(classes: Classes, order: np.ndarray) -> np.ndarray:
    """Return the source's position of each soft-label column, int64.

    Numeric texts sort as texts among classes ("10" before "2"), but their columns are in numeric order.
    """
    if all(isinstance(value, str) and value.isdecimal() for value in classes.values):
        return order[np.argsort([int(value) for value in classes.values])]
    return order


def _probabilities(table: Any, order: np.ndarray, where: str) -> np.ndarray:
    """Return soft labels with columns in the source's order and rows summing to one."""
    try:
        stored = np.array(table.with_format("arrow")[:][_SOFT].to_pylist(), np.float64)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{where}: the column {_SOFT!r} does not hold lists of numbers of equal length") from error
    if stored.shape != (len(table), len(order)):
        raise SourceError(
            f"{where}: the column {_SOFT!r} has shape {stored.shape}; expected {(len(table), len(order))}"
        )
    sums = stored.sum(1)
    if not np.isfinite(stored).all() or (stored < 0).any() or np.abs(sums - 1).max() > 1e-3:
        row = int(np.abs(np.nan_to_num(sums, nan=np.inf) - 1).argmax())
        raise SourceError(f"{where}, row {row}: the column {_SOFT!r} does not hold probabilities")
    placed = np.empty_like(stored)
    placed[:, order] = stored / sums[:, None]
    return placed.astype(np.float32)
