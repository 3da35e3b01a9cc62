"""Compare images and soft labels: byte for byte, or as a distance where the same bytes are not to be expected.

Shapes: S stored images, M training images, C classes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.reading import read_stored
from ncfm_hub.publishing.verifying.images import differing
from ncfm_hub.reproducing.result import Found
from ncfm_hub.utils.counting import counted

if TYPE_CHECKING:
    import torch


def judge_images(
    published: tuple[Path, Distilled], made: tuple[Path, Distilled], pixels: dict[str, Any], exact: bool
) -> Found:
    """Compare the stored images, both copies, and the training images.

    published, made: folder and content
    pixels: their difference, from `compare_pixels`
    exact: whether the same bytes are to be expected
    """
    (_, one), (_, other) = published, made
    if not pixels["compared"]:
        return "not checked", f"not comparable: {pixels['why']}"
    apart = (
        f"mean absolute difference {pixels['mean_absolute_difference']:.3g} and largest "
        f"{pixels['largest_difference']} of 255, cosine {pixels['cosine']:.4f}"
    )
    if not _alike(one, other):
        return ("failed" if exact else "noted"), f"other classes, IPC or factor than published; in common: {apart}"
    for what, first, second in (
        ("stored images", one.stored, other.stored),
        ("the two copies of stored images", _stored_copy(*published), _stored_copy(*made)),
        ("training images", one.images, other.images),
    ):
        differ = (first != second).flatten(1).any(1)
        if differ.any():
            where = f"{what} published and made again"
            return ("failed", f"{differing(differ, where)}; {apart}") if exact else ("noted", apart)
    digest = one.digest[:12]
    return "passed", f"byte for byte: {counted(len(one.stored), 'stored image')}, {len(one.images)} decoded, {digest}"


def judge_soft_labels(one: Distilled, other: Distilled, labels: dict[str, Any], exact: bool) -> Found:
    """Compare the soft labels. labels: their difference, from `compare_soft_labels`; exact: as for `judge_images`."""
    import torch

    if not labels["compared"]:
        return "not checked", f"not comparable: {labels['why']}"
    if _alike(one, other) and torch.equal(one.soft_labels, other.soft_labels):
        return "passed", f"bit for bit: {counted(len(one.soft_labels), 'soft label')}"
    found = (
        f"{labels['differing']} of {labels['compared']} differ, by {labels['mean_absolute_difference']:.3g} in "
        f"probability on average; the most probable class is another for {labels['most_probable_class_differs']}"
    )
    return ("failed" if exact else "noted"), found


def _alike(one: Distilled, other: Distilled) -> bool:
    return (one.class_names, one.factor, one.stored.shape) == (other.class_names, other.factor, other.stored.shape)


def _stored_copy(folder: Path, distilled: Distilled) -> "torch.Tensor":
    return read_stored(folder, tuple(distilled.stored.shape[1:]))[0]
