"""Validate tensors of a third-party distilled dataset and convert them.

Shapes: S stored images, C classes, c channels, (H, W) resolution.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.dataset import Distilled, decode_stored, to_pixels
from ncfm_hub.publishing.exchange.class_order import apply_order
from ncfm_hub.publishing.exchange.conventions import PixelStatistics

if TYPE_CHECKING:
    import torch

_ROUNDING = 1 / 510  # half an 8-bit step: values this close to [0, 1] are rounded, not clipped
_OVERSHOOT = 0.02  # how far an optimiser's last step may leave [0, 1]
_SUM = 1e-3  # tolerance for the sum of a row of soft labels

LabelValues = Literal["probabilities", "logits", "centred"]


def check_images(images: "torch.Tensor", channels: int, resolution: int) -> bool:
    """Return whether images are (S, height, width, channels) instead of (S, channels, height, width).

    Raises DistilledError unless there is at least one, of the source's size, uint8 or float, and all are finite.
    """
    import torch

    shape = tuple(images.shape)
    if len(shape) != 4 or not shape[0]:
        raise DistilledError(f"images have shape {shape}; expected (images, channels, height, width)")
    last = shape[1:] == (resolution, resolution, channels) and channels != resolution
    if shape[1:] != (channels, resolution, resolution) and not last:
        raise DistilledError(
            f"images are {shape[1]} x {shape[2]} x {shape[3]}; the source gives {channels} x {resolution} x "
            f"{resolution} (its pipeline, or --resolution PX and --set source.channels=N)"
        )
    if images.dtype not in (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise DistilledError(f"images are {images.dtype}; expected float, or uint8")
    finite = torch.isfinite(images.float()).flatten(1).all(1)  # in float32, in which they are rounded
    if not finite.all():
        wrong = int((~finite).nonzero()[0])
        raise DistilledError(f"image {wrong} holds NaN or infinite values")
    return last


def check_labels(
    labels: "torch.Tensor",
    count: int,
    class_names: Sequence[str],
    values: LabelValues = "probabilities",
    order: Sequence[int] | None = None,
) -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Return int64 (S,), and float32 probabilities (S, C) or None if labels are class numbers.

    values: what labels of shape (S, C) are
    order: the file's label of each class, if it does not count as the source does
    Raises DistilledError unless all classes of the source have the same number of images, at least one.
    """
    classes = len(class_names)
    if labels.is_complex():
        raise DistilledError(f"labels are {labels.dtype}; expected whole numbers or floats")
    if labels.shape not in ((count, classes), (count,)):
        raise DistilledError(
            f"labels have shape {tuple(labels.shape)}; expected ({count},), class numbers, or "
            f"({count}, {classes}), probabilities of the source's {classes} classes"
        )
    if labels.ndim == 1 and values != "probabilities":
        raise DistilledError(f"labels are class numbers; leave --label-values {values} out")
    labels = labels if order is None else apply_order(labels, order)
    soft = None if labels.ndim == 1 else _probabilities(labels, values)
    hard = _numbers(labels) if soft is None else soft.argmax(1)
    low, high = int(hard.min()), int(hard.max())
    if low < 0 or high >= classes:
        raise DistilledError(
            f"labels run from {low} to {high}; the source has {classes} classes, numbered 0 to {classes - 1}"
        )
    counts = hard.bincount(minlength=classes)
    if counts.min() != counts.max():
        few, many = int(counts.argmin()), int(counts.argmax())
        raise DistilledError(
            f"classes have different numbers of images: {class_names[few]!r} ({few}) has {int(counts[few])}, "
            f"{class_names[many]!r} ({many}) has {int(counts[many])}; expected as many of each of the {classes} classes"
        )
    return hard, soft


def to_stored(
    images: "torch.Tensor", figures: PixelStatistics | None, clip: bool
) -> "tuple[torch.Tensor, dict[str, float] | None]":
    """Return uint8 (S, c, H, W), and the clipped values or None.

    figures: mean and std that float images were normalised with, if any
    Raises DistilledError if values lie outside [0, 1] and must not be clipped.
    """
    import torch

    if images.dtype == torch.uint8:
        if figures:
            raise DistilledError("images are uint8, which are no normalised values; leave --normalised out")
        return images, None
    pixels = images.float()
    pixels = figures.undo(pixels) if figures else pixels
    low, high = float(pixels.min()), float(pixels.max())
    share = float(((pixels < -_ROUNDING) | (pixels > 1 + _ROUNDING)).double().mean())
    if (low < -_OVERSHOOT or high > 1 + _OVERSHOOT) and not clip:
        how = (
            "once un-normalised (see --mean and --std)"
            if figures
            else "(normalised? then --normalised; ZCA-whitened? then --zca)"
        )
        raise DistilledError(
            f"values reach from {low:.3g} to {high:.3g} {how}, and {share:.1%} lie outside 0 to 1, which 8 bits cannot "
            "hold; cut them with --clip, and the card will say so"
        )
    cut = {"share": round(share, 6), "lowest": round(low, 4), "highest": round(high, 4)} if share else None
    return to_pixels(pixels), cut


def arrange(
    stored: "torch.Tensor",
    labels: "torch.Tensor",
    soft: "torch.Tensor | None",
    class_names: Sequence[str],
    factor: int,
) -> Distilled:
    """Return the dataset ordered by class, in file order within a class; tiles share their stored image's soft labels.

    stored: uint8 (S, c, H, W)
    labels: int64 (S,)
    soft: float32 (S, C), None for one-hot
    """
    import torch

    order = labels.argsort(stable=True)
    stored, labels = stored[order].contiguous(), labels[order]
    rows = torch.eye(len(class_names))[labels] if soft is None else soft[order]
    return Distilled(
        stored=stored,
        stored_labels=labels,
        images=decode_stored(stored, factor),
        labels=labels.repeat_interleave(factor**2),
        soft_labels=rows.repeat_interleave(factor**2, 0),
        stored_index=torch.arange(len(stored), dtype=torch.int32).repeat_interleave(factor**2),
        tile=torch.arange(factor**2).to(torch.int8).repeat(len(stored)),
        class_names=tuple(class_names),
        factor=factor,
    )


def _probabilities(labels: "torch.Tensor", values: LabelValues) -> "torch.Tensor":
    """Return float32 (S, C); logits by their softmax, centred labels (one-hot less 1/C) clamped to probabilities."""
    import torch

    soft = labels.float()
    if not torch.isfinite(soft).all():
        raise DistilledError("labels hold NaN or infinite values")
    if values == "logits":
        return soft.softmax(1)
    if values == "centred":
        soft = (soft + 1 / soft.shape[1]).clamp(min=0)
        return soft / soft.sum(1, keepdim=True).clamp(min=torch.finfo(soft.dtype).tiny)
    if (soft < 0).any() or ((soft.sum(1) - 1).abs() > _SUM).any():
        raise DistilledError(
            "labels of shape (images, classes) are taken for probabilities, and these are none; pass --label-values "
            "logits (DATM), or centred (one-hot less 1/C: KIP, FRePo, RCIG)"
        )
    return soft


def _numbers(labels: "torch.Tensor") -> "torch.Tensor":
    """Return class numbers as int64; some files store them as floats."""
    numbers = labels.long()
    if not (numbers == labels).all():
        raise DistilledError(f"labels are {labels.dtype} and no whole numbers; expected class numbers")
    return numbers
