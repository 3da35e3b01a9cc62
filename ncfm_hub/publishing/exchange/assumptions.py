"""Phrases on what an import took for granted, for the output, the card and pipeline.yaml."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ncfm_hub.publishing.exchange.conventions import PixelStatistics
from ncfm_hub.publishing.exchange.foreign import LabelValues
from ncfm_hub.publishing.exchange.whitening import Whitening
from ncfm_hub.utils.named import Named, path_of

if TYPE_CHECKING:
    import torch


def pixel_assumptions(
    images: "torch.Tensor", channels_last: bool, whitening: Whitening | None, figures: PixelStatistics | None
) -> list[str]:
    """Return what was taken for granted about the pixels, one phrase each."""
    said = ["images are height x width x channels"] if channels_last else []
    if whitening and "file" in whitening.about:
        said.append(f"images are ZCA-whitened by the mean and matrix of {whitening.about['file']}")
    elif whitening:
        fitted, eps = whitening.about["fitted_on"], whitening.about["eps"]
        said.append(f"images are ZCA-whitened, fitted on the source's {fitted:,} training images with eps {eps:g}")
    if figures:
        said.append(f"images are normalised by mean and std {figures.origin}")
    elif not whitening:
        said.append("values are pixels from 0 to " + ("1" if images.is_floating_point() else "255"))
    return said


def label_assumptions(soft: bool, values: LabelValues, order: Named | None, class_names: Sequence[str]) -> list[str]:
    """Return what was taken for granted about the labels."""
    ends = f"{class_names[0]} = 0 to {class_names[-1]} = {len(class_names) - 1}"
    counted = f"labels count the classes as the source does, {ends}"
    if order is not None:
        counted = f"labels count the classes as {path_of(order).name} says"
    return [counted, *([f"label rows are {values}"] if soft else [])]
