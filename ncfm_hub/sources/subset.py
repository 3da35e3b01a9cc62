"""Restrict a loaded source to some classes."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from ncfm_hub.sources.rows import rows_of_classes
from ncfm_hub.sources.types import ImageSet, Source


def only_classes(source: Source, names: Sequence[str]) -> Source:
    """Return the source with only these classes, one or more, in this order. Row order is kept."""
    info = source.info
    place = {name: position for position, name in enumerate(info.class_names)}
    positions = [place[name] for name in names]
    ids = tuple(info.class_ids[position] for position in positions)
    fingerprint = hashlib.sha256(f"{source.fingerprint}/only {ids}".encode()).hexdigest()
    new_info = replace(info, class_names=tuple(names), class_ids=ids, fingerprint=fingerprint)
    test = None if source.test is None else _only(source.test, positions)
    return Source(new_info, _only(source.train, positions), test, fingerprint, source.notes)


def _only(images: ImageSet, positions: list[int]) -> ImageSet:
    rows, labels = rows_of_classes(images.labels, positions)
    return ImageSet(images.images[rows], labels)
