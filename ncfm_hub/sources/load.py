"""Read a recipe's `source` section into images, completely."""

import dataclasses
import hashlib
import json
from collections.abc import Collection
from typing import Any

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources import cache
from ncfm_hub.sources.classes import Classes, classes_of_feature, classes_of_values
from ncfm_hub.sources.columns import image_column, label_column, list_columns
from ncfm_hub.sources.decode import DECODER_VERSION
from ncfm_hub.sources.offline import recall_source, remember_source
from ncfm_hub.sources.opened import Opened
from ncfm_hub.sources.parts import read_parts
from ncfm_hub.sources.place import PACKAGED_NAME, find_place
from ncfm_hub.sources.read import NoImages, label_counts, open_dataset, row_count
from ncfm_hub.sources.splits import TestSplit, choose_parts, count_of, split_of
from ncfm_hub.sources.types import ImageSet, Source, SourceInfo
from ncfm_hub.utils.progress import Progress, Silent
from ncfm_hub.utils.waiting import patient

_Found = tuple[dict[str, Any], dict[str, Any]]  # images and labels by part, and facts about them
_MOST_DISTINCT = 0.75  # distinct labels per row; above this, most labels occur once
_NAMED = 10  # classes named in a message
_LONGEST = 40


def inspect_source(
    spec: SourceRecipe, *, token: str | None = None, least_classes: int = 2, test: TestSplit = "required"
) -> SourceInfo:
    """Find a source, pin its revision, and determine columns, splits and classes; reads no images.

    Takes a few small requests on the Hub.

    test: how the test split is used
    Raises SourceError with a remedy, also if fewer than `least_classes` classes remain.
    """
    return recall_source(spec, test) or _inspect(spec, token, test, least_classes)[0]


def load_source(
    spec: SourceRecipe,
    *,
    token: str | None = None,
    progress: Progress | None = None,
    test: TestSplit = "required",
) -> Source:
    """Read a source: uint8 images of the training and test split, from the cache of decoded sources if possible.

    test: how the test split is used; unless required, it may be missing or contain no labelled image
    Raises SourceError naming split, row and class of an unusable image, or a class without images in the training
    split.
    """
    progress = progress or Silent()
    with patient(progress):
        return _load(spec, token, test, progress)


def _load(spec: SourceRecipe, token: str | None, test: TestSplit, progress: Progress) -> Source:
    info, (tensors, facts) = _read_before(spec, test, progress) or _read(spec, token, test, progress)
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


def _read_before(spec: SourceRecipe, test: TestSplit, progress: Progress) -> tuple[SourceInfo, _Found] | None:
    """Return a source and its images as they were last read, if the Hub may not be asked."""
    info = recall_source(spec, test)
    found = cache.load_cached(cache.cache_path(info.fingerprint)) if info else None
    if info is None or found is None:
        return None
    at = f"{info.dataset} at {(info.revision or '')[:12]}"
    progress.note(f"HF_HUB_OFFLINE is set: using {at}, as it was last read here")
    progress.note(_class_line(info))
    return info, found


def _read(spec: SourceRecipe, token: str | None, test: TestSplit, progress: Progress) -> tuple[SourceInfo, _Found]:
    from filelock import FileLock

    info, opened, classes = _inspect(spec, token, test)
    progress.note(_class_line(info))
    path = cache.cache_path(info.fingerprint)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):  # one process decodes, the others read its result
        found = cache.load_cached(path)
        if found is None:
            if path.exists():
                progress.note(f"the cached images in {path} are damaged; decoding {info.dataset} again")
            found = read_parts(info, opened, classes, spec.skip_damaged, progress)
            cache.save(path, *found)
    if info.revision is not None:
        remember_source(spec, test, info)
    return info, found


def _inspect(
    spec: SourceRecipe, token: str | None, test_needed: TestSplit, least_classes: int = 2
) -> tuple[SourceInfo, Opened, Classes]:
    place = find_place(spec, token)
    opened = open_dataset(place, spec.config, spec.label_column)
    images = image_column(opened.features, spec.image_column, place.dataset)
    labels = label_column(opened.features, spec.label_column, place.dataset)
    train, test, notes = choose_parts(opened.splits, spec, test_needed, place.dataset)
    _check_no_file_in_both(opened, train, test)
    counts = _counts(opened, {split_of(part) for part in (train, test) if part}, labels)
    every = _all_classes(opened, split_of(train), labels)
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
        train_examples=count_of(train, counts),
        test_examples=count_of(test, counts),
        notes=(*place.notes, *opened.notes, *notes),
        classes_in_source=len(every.names),
        folder=str(place.folder) if place.folder and place.dataset != PACKAGED_NAME else None,
        content=place.identity if place.folder else None,
    )
    return dataclasses.replace(info, fingerprint=_fingerprint(info, opened, spec.skip_damaged)), opened, classes


def _check_no_file_in_both(opened: Opened, train: str, test: str | None) -> None:
    """Raise SourceError if a README or a link puts a file into both splits."""
    if test is None or split_of(train) == split_of(test):
        return
    shared = opened.files_of(split_of(train)) & opened.files_of(split_of(test))
    if shared:
        raise SourceError(
            f"{opened.place.dataset}: {min(shared)} is in both splits {train!r} and {test!r} (through a link or its "
            "README); training and test images must be disjoint"
        )


def _counts(opened: Opened, splits: Collection[str], labels: str) -> dict[str, int | None]:
    """Return the number of rows of each split; always known for a folder, where counting needs no download."""
    local = opened.place.folder is not None
    return {
        split: row_count(opened, split, labels) if local and rows is None and split in splits else rows
        for split, rows in opened.splits.items()
    }


def _all_classes(opened: Opened, split: str, column: str) -> Classes:
    """Return all classes before selection. Raises SourceError for a column that identifies rows rather than classes."""
    feature: Any = opened.features[column]
    if hasattr(feature, "names"):
        return classes_of_feature(feature.names)
    counts = label_counts(opened, split, column)
    if len(counts) > _MOST_DISTINCT * counts.total():
        raise SourceError(
            f"{opened.place.dataset}: column {column!r} has {len(counts)} distinct labels in {counts.total()} rows of "
            f"split {split!r}, so nearly every image would be its own class; choose another with --label-column; "
            f"columns: {list_columns(opened.features)}"
        )
    return classes_of_values(list(counts))


def _class_line(info: SourceInfo) -> str:
    names = [name if name.isprintable() else ascii(name) for name in info.class_names[:_NAMED]]
    more = ", ..." if len(info.class_names) > _NAMED else ""
    listed = ", ".join(f"{name[:_LONGEST]}..." if len(name) > _LONGEST else name for name in names)
    return f"label column {info.label_column!r}, {len(info.class_names)} classes: {listed}{more}"


def _fingerprint(info: SourceInfo, opened: Opened, skip_damaged: bool) -> str:
    """Return the digest of everything that determines the tensors."""
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
        *(["skip damaged"] if skip_damaged else []),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
