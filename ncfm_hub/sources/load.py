"""From the `source` section of a recipe to its images, read whole."""

import dataclasses
import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ncfm_hub.errors import SourceError
from ncfm_hub.progress import Progress, Silent
from ncfm_hub.recipe import SourceRecipe
from ncfm_hub.sources import cache
from ncfm_hub.sources.classes import UNLABELLED, Classes, classes_of_feature, classes_of_values
from ncfm_hub.sources.columns import image_column, label_column
from ncfm_hub.sources.decode import DECODER_VERSION
from ncfm_hub.sources.place import PACKAGED_NAME, locate
from ncfm_hub.sources.read import (
    BadImage,
    NoImages,
    Only,
    Opened,
    decode_rows,
    distinct_labels,
    image_roots,
    labels_of,
    load_splits,
    open_dataset,
)
from ncfm_hub.sources.splits import TestSplit, check_apart, choose_parts, count_of, is_slice, rows_of, split_of
from ncfm_hub.sources.types import ImageSet, Source, SourceInfo

if TYPE_CHECKING:
    from datasets import Dataset


def inspect_source(
    spec: SourceRecipe, *, token: str | None = None, least_classes: int = 2, test: TestSplit = "required"
) -> SourceInfo:
    """Find a source, pin its revision, and settle columns, splits and classes; no image is read or decoded.

    test: what is asked of the test split
    On the Hub a handful of small requests. Raises SourceError, one line that says what to do, also where fewer classes
    are left than a classifier needs.
    """
    return _inspect(spec, token, test, least_classes)[0]


def load_source(
    spec: SourceRecipe,
    *,
    token: str | None = None,
    progress: Progress | None = None,
    test: TestSplit = "required",
) -> Source:
    """Read a source whole: uint8 images of train and test split, from the cache of decoded sources where it can be.

    test: what is asked of the test split; one that is not required may also be without a labelled image
    Raises SourceError, one line, naming split, row and class of an image that cannot be used, and any class that has
    no image in the training split.
    """
    from filelock import FileLock

    progress = progress or Silent()
    info, opened, classes = _inspect(spec, token, test)
    path = cache.cache_path(info.fingerprint)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):  # of several processes one decodes, the others read what it wrote
        found = cache.load(path)
        if found is None:
            if path.exists():
                progress.note(f"the cached images in {path} are damaged; decoding {info.dataset} again")
            found = _read(info, opened, classes, progress)
            cache.save(path, *found)
    tensors, facts = found
    sets = {
        role: ImageSet(tensors[f"{role}_images"], tensors[f"{role}_labels"])
        for role in ("train", "test")
        if f"{role}_images" in tensors
    }
    if info.test_split and "test" not in sets and test == "required":
        raise NoImages(info.dataset, info.test_split)
    info = dataclasses.replace(
        info,
        test_split=info.test_split if "test" in sets else None,
        train_examples=facts["rows"].get("train", info.train_examples),
        test_examples=facts["rows"].get("test", info.test_examples) if "test" in sets else None,
    )
    return Source(info, sets["train"], sets.get("test"), info.fingerprint, (*info.notes, *facts["notes"]))


def _inspect(
    spec: SourceRecipe, token: str | None, test_needed: TestSplit, least_classes: int = 2
) -> tuple[SourceInfo, Opened, Classes]:
    place = locate(spec, token)
    opened = open_dataset(place, spec.config, spec.label_column)
    images = image_column(opened.features, spec.image_column, place.dataset)
    labels = label_column(opened.features, spec.label_column, place.dataset)
    train, test, notes = choose_parts(opened.splits, spec, test_needed, place.dataset)
    feature: Any = opened.features[labels]
    if hasattr(feature, "names"):
        every = classes_of_feature(feature.names)
    else:
        every = classes_of_values(distinct_labels(opened, split_of(train), labels))
    classes = every.choose(spec.classes, place.dataset, least_classes)
    info = SourceInfo(
        dataset=place.dataset,
        is_local=place.folder is not None,
        config=opened.config,
        revision=place.revision,
        image_column=images,
        label_column=labels,
        train_split=train,
        test_split=test,
        class_names=classes.names,
        class_ids=classes.ids,
        resolution=spec.resolution,
        channels=spec.channels,
        **place.license_terms,
        citation=place.citation,
        train_examples=count_of(train, opened.splits),
        test_examples=count_of(test, opened.splits),
        notes=(*place.notes, *opened.notes, *notes),
        classes_in_source=len(every.names),
        folder=str(place.folder) if place.folder and place.dataset != PACKAGED_NAME else None,
        content=place.identity if place.folder else None,
    )
    return dataclasses.replace(info, fingerprint=_fingerprint(info, opened)), opened, classes


def _fingerprint(info: SourceInfo, opened: Opened) -> str:
    """Digest of everything that determines the tensors."""
    parts = (
        opened.place.identity,
        info.config,
        info.image_column,
        info.label_column,
        info.train_split,
        info.test_split,
        info.class_names,
        info.class_ids,
        info.resolution,
        info.channels,
        DECODER_VERSION,
        *([opened.reader] if opened.reader else []),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(
    info: SourceInfo, opened: Opened, classes: Classes, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(tensors, facts) of both parts; of a test part without a labelled image only a note."""
    parts = {"train": info.train_split} | ({"test": info.test_split} if info.test_split else {})
    at = f" at {info.revision[:12]}" if info.revision else ""
    progress.note(f"reading {info.dataset}{at}: {' and '.join(parts.values())}")
    # The rows of a slice are counted before those of other classes are left out.
    only = None if any(map(is_slice, parts.values())) else _only(info, classes)
    tensors: dict[str, Any] = {}
    facts: dict[str, Any] = {"notes": [], "rows": {}}
    remarks: Counter[str] = Counter()
    known = {"train": info.train_examples, "test": info.test_examples}
    for role, name in parts.items():
        try:
            split, first = _load_part(info, opened, name, only)
            images, labels, dropped = _read_split(info, opened, classes, split, (name, first), remarks, progress)
            facts["notes"] += _check_counts(info, labels, role, name)
        except NoImages as error:
            if role == "train":
                raise
            facts["notes"].append(str(error))
            continue
        if only is None:
            facts["rows"][role] = len(split)
            if known[role] not in (None, len(split)):
                facts["notes"].append(f"split {name!r} has {len(split)} rows; its card says {known[role]}")
        if dropped:
            facts["notes"].append(f"{dropped} rows of split {name!r} have no label (-1) and are left out")
        tensors |= {f"{role}_images": images, f"{role}_labels": labels}
    facts["notes"] += _remark_notes(remarks, info.channels)
    return tensors, facts


def _load_part(info: SourceInfo, opened: Opened, part: str, only: Only | None) -> tuple["Dataset", int]:
    """The rows of a part, and the number of its first row in the split."""
    split = split_of(part)
    whole = load_splits(opened, (split,), (info.image_column, info.label_column), only)[split]
    if not is_slice(part):
        return whole, 0
    if info.test_split:
        check_apart(info.train_split, info.test_split, len(whole), info.dataset)
    rows = rows_of(part, len(whole))
    return whole.select(rows), rows.start


def _only(info: SourceInfo, classes: Classes) -> Only | None:
    """The rows that a class filter leaves."""
    return (info.label_column, classes.values) if classes.chosen else None


def _read_split(
    info: SourceInfo,
    opened: Opened,
    classes: Classes,
    split: "Dataset",
    part: tuple[str, int],
    remarks: Counter[str],
    progress: Progress,
) -> tuple[Any, Any, int]:
    """(images, labels, rows without a label) of one part; the images of classes left out are not even decoded.

    part: its name, and the number that its first row has in the split
    """
    import torch

    name, first = part
    where = f"{info.dataset}, split {name!r}"
    stored = labels_of(split, info.label_column)
    positions = classes.positions(stored, where)
    dropped = int((stored.to_numpy() == UNLABELLED).sum()) if classes.unlabelled else 0
    rows = np.flatnonzero(positions != UNLABELLED)
    positions = positions[rows]
    out = np.empty((len(rows), info.channels, info.resolution, info.resolution), np.uint8)
    try:
        with progress.bar(len(rows), f"decode {name}") as bar:
            remarks.update(decode_rows(split, info.image_column, rows, out, bar, image_roots(opened.place)))
    except BadImage as bad:
        only = None if is_slice(name) else _only(info, classes)
        row = opened.row_name(split_of(name), only, first + int(rows[bad.index]), len(split))
        label = info.class_names[positions[bad.index]]
        raise SourceError(f"{where}, {row} (class {label!r}): the image cannot be used: {bad}") from bad
    return torch.from_numpy(out), torch.from_numpy(positions), dropped


def _check_counts(info: SourceInfo, labels: Any, role: str, split: str) -> list[str]:
    """Notes on classes without an image. SourceError if the split is empty, or a class of the training split."""
    if len(labels) == 0:
        raise NoImages(info.dataset, split)
    counts = np.bincount(labels.numpy(), minlength=len(info.class_names))
    empty = [repr(info.class_names[c]) for c in np.flatnonzero(counts == 0)]
    if not empty:
        return []
    listed = ", ".join(empty[:10]) + (", ..." if len(empty) > 10 else "")
    if role == "train":
        sorted_rows = " (rows may be sorted by class: --validation takes some of every class)"
        raise SourceError(
            f"{info.dataset}, split {split!r}: no image of class {listed}; name the others with --classes"
            f"{sorted_rows if is_slice(split) else ''}"
        )
    return [f"split {split!r} has no image of class {listed}"]


def _remark_notes(remarks: Counter[str], channels: int) -> list[str]:
    notes = []
    if channels == 3 and remarks["grey"]:
        notes.append(f"{remarks['grey']} grey images are repeated to 3 channels")
    if channels == 1 and remarks["colour"]:
        notes.append(f"{remarks['colour']} colour images are turned to grey")
    if remarks["transparent"]:
        notes.append(f"{remarks['transparent']} transparent images are laid on white")
    if remarks["16-bit"]:
        notes.append(f"{remarks['16-bit']} images of 16 bits are scaled to 8")
    return notes
