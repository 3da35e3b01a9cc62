"""A distilled dataset in memory: stored images, decoded training images and labels.

Shapes: C classes, S = C * ipc stored images, M = S * factor**2 decoded images, c channels, (H, W) resolution.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.augmentation import TrainingAugmentation
from ncfm_hub.publishing.dataset.layout import Config
from ncfm_hub.utils.counting import counted

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ncfm_hub.publishing.dataset.torch_dataset import TorchDataset

_DECODE_AT_ONCE = 256  # stored images; bounds the memory of float copies
LARGEST_FACTOR = 11  # a tile's number is an int8


@dataclass(frozen=True, repr=False)
class Distilled:
    """A distilled dataset, ordered by class; validated when created.

    stored: uint8 (S, c, H, W), the stored images (config `stored`)
    stored_labels: int64 (S,)
    images: uint8 (M, c, H, W), the training images, `decode_stored(stored)` (config `default`)
    labels: int64 (M,), hard labels of the training images
    soft_labels: float32 (M, C), probabilities
    stored_index: int32 (M,), the stored image that a training image is cut from
    tile: int8 (M,), its position there, row by row
    augmentation: how training images are augmented, as recorded with the accuracies
    Raises DistilledError if shapes, types or ranges are inconsistent.
    """

    stored: "torch.Tensor"
    stored_labels: "torch.Tensor"
    images: "torch.Tensor"
    labels: "torch.Tensor"
    soft_labels: "torch.Tensor"
    stored_index: "torch.Tensor"
    tile: "torch.Tensor"
    class_names: tuple[str, ...]
    factor: int
    augmentation: TrainingAugmentation = field(default_factory=TrainingAugmentation)

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_values(self)

    def __repr__(self) -> str:
        """Return a one-line summary without pixels, for notebooks."""
        stored = (
            f"{len(self.class_names)} x {self.ipc} stored images of {' x '.join(map(str, self.stored.shape[1:]))} px"
        )
        return f"Distilled({stored}, factor {self.factor}, {len(self.images)} to train on)"

    @property
    def ipc(self) -> int:
        """Number of stored images per class."""
        return len(self.stored) // len(self.class_names)

    @cached_property
    def digest(self) -> str:
        """Digest that identifies the training images and labels; see `images_digest`."""
        return images_digest(self.images, self.labels)

    def to_torch(
        self, config: Config = "default", *, soft_labels: bool = False, augment: bool = False
    ) -> "TorchDataset":
        """Return a torch dataset of (image, label) pairs, with `.targets` as a list of ints.

        config: "default" for training images, "stored" for stored images
        soft_labels: labels are probabilities (C,) instead of ints
        augment: augment by DSA and CutMix, as the accuracies were measured; labels are probabilities, one-hot unless
            `soft_labels`
        Returns images as float (c, H, W) in [0, 1], unless augmented. Normalise by the dataset's `mean` and `std`.
        Raises DistilledError for soft labels of stored images, which have none.
        """
        from ncfm_hub.publishing.dataset.torch_dataset import TorchDataset

        images, labels = self._of(config)
        if soft_labels and config == "stored":
            raise DistilledError("stored images have no soft labels; those of config 'default' are of decoded images")
        if not augment:
            return TorchDataset(images, labels, self.soft_labels if soft_labels else None, self.augmentation)
        from torch.nn.functional import one_hot

        from ncfm_hub.publishing.dataset.augmented_dataset import AugmentedDataset

        targets = self.soft_labels if soft_labels else one_hot(labels, len(self.class_names)).float()
        return AugmentedDataset(images, labels, targets, self.augmentation)

    def as_array(self, config: Config = "default") -> "tuple[np.ndarray, np.ndarray]":
        """Return images as uint8 (N, H, W, c) and labels as int64 (N,).

        config: "default" for training images, "stored" for stored images
        Pillow, and therefore Continuum, expects grey images without the last axis: `images[..., 0]`.
        """
        images, labels = self._of(config)
        return images.permute(0, 2, 3, 1).contiguous().numpy(), labels.numpy()

    def _of(self, config: str) -> "tuple[torch.Tensor, torch.Tensor]":
        if config == "default":
            return self.images, self.labels
        if config == "stored":
            return self.stored, self.stored_labels
        raise DistilledError(f"config {config!r} is not one of 'default' and 'stored'")


def images_digest(images: "torch.Tensor", labels: "torch.Tensor") -> str:
    """Return the SHA-256 (hex) of training images, uint8 (M, c, H, W), and labels, int64 (M,)."""
    digest = hashlib.sha256(f"{list(images.shape)}".encode())
    for tensor in (images, labels):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def to_pixels(stored: "torch.Tensor") -> "torch.Tensor":
    """Quantise float [0, 1] to uint8, rounding to k/255. Stored images are rounded nowhere else."""
    import torch

    return (stored * 255).round().clamp(0, 255).to(torch.uint8)


def decode_stored(stored: "torch.Tensor", factor: int) -> "torch.Tensor":
    """Cut stored images, uint8 (S, c, H, W), into tiles and enlarge them: uint8 (S * factor**2, c, H, W).

    Raises DistilledError if H or W is not divisible by `factor`.
    """
    import torch

    from ncfm_hub.matching.synthetic import decode

    height, width = stored.shape[-2:]
    _check_factor(height, width, factor)
    parts = [decode(part.float() / 255, factor) for part in stored.split(_DECODE_AT_ONCE)]
    return torch.cat([(part * 255).round().clamp(0, 255).to(torch.uint8) for part in parts])


def differs_from_decoded(images: "torch.Tensor", stored: "torch.Tensor", factor: int) -> "torch.Tensor":
    """Return whether each training image (M, c, H, W) is another than its tile of `stored` decodes into: bool (M,).

    Tiles are resized in floating point, so another machine may round a halfway value differently.
    """
    import torch

    tiles = decode_stored(stored, factor)
    return (torch.maximum(tiles, images) - torch.minimum(tiles, images)).flatten(1).amax(1) > 1


def _check_factor(height: int, width: int, factor: int) -> None:
    if height % factor or width % factor:
        raise DistilledError(
            f"images of {height} x {width} pixels cannot be cut into {factor} x {factor} equal tiles; "
            f"choose a resolution that is a multiple of the factor {factor}"
        )


def _check_shapes(it: Distilled) -> None:
    import torch

    classes, stored, per_stored = len(it.class_names), len(it.stored), it.factor**2
    channels, height, width = it.stored.shape[1:] if it.stored.ndim == 4 else (0, 0, 0)
    images = stored * per_stored
    expected = {
        "stored": (torch.uint8, (stored, channels, height, width)),
        "stored_labels": (torch.int64, (stored,)),
        "images": (torch.uint8, (images, channels, height, width)),
        "labels": (torch.int64, (images,)),
        "soft_labels": (torch.float32, (images, classes)),
        "stored_index": (torch.int32, (images,)),
        "tile": (torch.int8, (images,)),
    }
    if channels not in (1, 3) or not stored:
        raise DistilledError(f"stored images have shape {tuple(it.stored.shape)}; expected (S > 0, 1 or 3, H, W)")
    for name, (dtype, shape) in expected.items():
        found = getattr(it, name)
        if found.dtype != dtype or tuple(found.shape) != shape:
            raise DistilledError(f"{name} is {found.dtype} {tuple(found.shape)}; expected {dtype} {shape}")
    if it.factor > LARGEST_FACTOR:
        raise DistilledError(f"factor {it.factor} is too large: a tile's number must fit 8 bits")
    _check_factor(height, width, it.factor)


def _check_values(it: Distilled) -> None:
    import torch

    classes, per_stored = len(it.class_names), it.factor**2
    if len(set(it.class_names)) != classes:
        twice = next(name for name in it.class_names if it.class_names.count(name) > 1)
        raise DistilledError(f"two classes have the same name {twice!r}")
    if len(it.stored) % classes:
        raise DistilledError(
            f"{counted(len(it.stored), 'stored image does', 'stored images do')} not divide among {classes} classes"
        )
    ordered = torch.arange(classes).repeat_interleave(len(it.stored) // classes)
    if not torch.equal(it.stored_labels, ordered):
        raise DistilledError("stored images are not class by class with the same number of images in each")
    if not torch.equal(it.labels, ordered.repeat_interleave(per_stored)):
        raise DistilledError("labels of the decoded images do not follow those of the stored images")
    if not torch.equal(it.stored_index.long(), torch.arange(len(it.stored)).repeat_interleave(per_stored)):
        raise DistilledError("stored_index does not count the stored images in order")
    if not torch.equal(it.tile.long(), torch.arange(per_stored).repeat(len(it.stored))):
        raise DistilledError("tile does not count the tiles of each stored image in order")
    if not torch.isfinite(it.soft_labels).all() or (it.soft_labels < 0).any():
        raise DistilledError("soft labels are not probabilities: some are negative or not finite")
