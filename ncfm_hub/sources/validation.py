"""A validation split cut from the training split, and notes on classes that are too small."""

import dataclasses
import hashlib

import numpy as np

from ncfm_hub.sources.types import ImageSet, Source, SourceInfo
from ncfm_hub.utils.counting import counted

_FRACTION = 0.1
_AT_MOST = 5000
_PART = "validation part of "
_NAMED = 5  # small classes listed one by one


def cut_validation(source: Source, seed: int = 0) -> Source:
    """Replace a source's test split by a part of its training split, so that choices never see the test images.

    10 % of the training images, at most 5,000, stratified: each class gives its share (largest remainder; at least one
    image if it has two or more), sampled with `seed`. Row order is kept on both sides; the fingerprint changes.
    """
    counts = [len(rows) for rows in source.class_indices()]
    picked = np.zeros(len(source.train.labels), dtype=bool)
    for c, (rows, share) in enumerate(zip(source.class_indices(), _shares(counts), strict=True)):
        picked[rows.numpy()[_generator(seed, c).permutation(len(rows))[:share]]] = True
    keep, cut = np.flatnonzero(~picked), np.flatnonzero(picked)
    info = dataclasses.replace(_named(source.info, seed), train_examples=len(keep), test_examples=len(cut))
    note = f"{counted(len(cut), 'training image')} held out for validation; the test split is not read"
    return Source(info, _rows(source.train, keep), _rows(source.train, cut), info.fingerprint, (*source.notes, note))


def planned_validation(info: SourceInfo, seed: int = 0) -> SourceInfo:
    """Predict `cut_validation` for a source that is not loaded yet; sizes are before rounding by class."""
    train = info.train_examples
    cut = None if train is None else min(round(_FRACTION * train), _AT_MOST)
    left = None if train is None or cut is None else train - cut
    return dataclasses.replace(_named(info, seed), train_examples=left, test_examples=cut)


def is_validation(split: str | None) -> bool:
    """Return whether a split's name is that of a validation split cut here."""
    return split is not None and split.startswith(_PART)


def _named(info: SourceInfo, seed: int) -> SourceInfo:
    name = f"{_PART}{info.train_split}"
    fingerprint = hashlib.sha256(f"{info.fingerprint}/{name}/{seed}".encode()).hexdigest()
    return dataclasses.replace(info, test_split=name, fingerprint=fingerprint)


def _shares(counts: list[int]) -> list[int]:
    """Return how many images each class gives: proportional to its size, rounded by largest remainder."""
    total = min(round(_FRACTION * sum(counts)), _AT_MOST)
    exact = [total * count / sum(counts) for count in counts]
    shares = [int(part) for part in exact]
    by_remainder = sorted(range(len(counts)), key=lambda c: (shares[c] - exact[c], c))
    for c in by_remainder[: total - sum(shares)]:
        shares[c] += 1
    return [max(share, 1) if count >= 2 else 0 for share, count in zip(shares, counts, strict=True)]


def _generator(seed: int, class_number: int) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}/validation/{class_number}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))


def _rows(images: ImageSet, rows: np.ndarray) -> ImageSet:
    import torch

    index = torch.from_numpy(rows)
    return ImageSet(images.images[index], images.labels[index])


def too_small_notes(source: Source, needed: int) -> list[str]:
    """Return notes on classes with fewer than `needed` training images, which are sampled with replacement.

    One line per class, or one for all if there are many.
    """
    counts = {name: len(rows) for name, rows in zip(source.info.class_names, source.class_indices(), strict=True)}
    small = {name: count for name, count in counts.items() if count < needed}
    if len(small) <= _NAMED:
        return [
            f"class {name!r} has {counted(count, 'training image')}, fewer than the {needed} needed: "
            "sampled with replacement"
            for name, count in small.items()
        ]
    named = ", ".join(map(repr, list(small)[:_NAMED]))
    return [
        f"{len(small)} classes ({named}, ...) have fewer training images than the {needed} needed, "
        f"the smallest {min(small.values())}: sampled with replacement"
    ]
