"""Undo ZCA whitening: z = (x - mean) T with T = (C + eps)^(-1/2), C the covariance of the flattened training images.

Shapes: S stored images, N training images, D values of one image, flattened in the order of the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.exchange.torch_files import first_key, read_tensors_of
from ncfm_hub.utils.files import sha256_file

if TYPE_CHECKING:
    import torch

FIT = "fit"
EPS = 0.1  # of MTT and the methods built on it, which whiten with kornia
_MEAN = ("mean_vector", "mean", "zca_mean")
_MATRIX = ("transform_matrix", "matrix", "transformation_matrix", "whitening_transform", "zca")
_MOST_VALUES = 12_288  # of an image, 3 x 64 x 64: a matrix of 1.2 GB in float64
_AT_ONCE = 2048  # training images; bounds the memory of float64 copies


@dataclass(frozen=True)
class Whitening:
    """What undoes a whitening.

    mean: float64 (D,)
    inverse: float64 (D, D)
    about: its origin, as pipeline.yaml records it
    """

    mean: "torch.Tensor"
    inverse: "torch.Tensor"
    about: Mapping[str, Any]

    def undo(self, images: "torch.Tensor") -> "torch.Tensor":
        """Return images before whitening, float32 in the shape of `images` (S, ...).

        Raises DistilledError if some are not finite.
        """
        plain = (images.flatten(1).double() @ self.inverse + self.mean).float()
        if not plain.isfinite().all():
            raise DistilledError(
                "values are not finite once the whitening is undone; is this the matrix of the images?"
            )
        return plain.reshape(images.shape)


def read_whitening(path: Path, values: int) -> Whitening:
    """Read mean and transformation matrix from a torch file: a dict (kornia's names, or plain ones) or a pair.

    values: D
    Raises DistilledError unless they are finite, fit the images, and the matrix can be inverted.
    """
    import torch

    mean, matrix = _mean_and_matrix(path)
    if mean.numel() != values or matrix.shape != (values, values):
        raise DistilledError(
            f"{path} holds a mean {tuple(mean.shape)} and a matrix {tuple(matrix.shape)}; images of {values} values "
            f"need ({values},) and ({values}, {values})"
        )
    if not all(part.is_floating_point() and torch.isfinite(part.double()).all() for part in (mean, matrix)):
        raise DistilledError(f"{path} holds values of {matrix.dtype} or {mean.dtype} that are not finite floats")
    inverse, failed = torch.linalg.inv_ex(matrix.double())
    if failed or not torch.isfinite(inverse).all():
        raise DistilledError(f"{path}: the matrix is singular, so the whitening cannot be undone")
    return Whitening(mean.double().flatten(), inverse, {"file": path.name, "sha256": sha256_file(path)})


def _mean_and_matrix(path: Path) -> "tuple[torch.Tensor, torch.Tensor]":
    tensors = read_tensors_of(path)
    if tensors.keys() == {"0", "1"}:
        mean, matrix = sorted(tensors.values(), key=lambda tensor: tensor.numel())
        return mean, matrix
    named = [first_key(tensors, keys) for keys in (_MEAN, _MATRIX)]
    if None in named:
        raise DistilledError(
            f"{path} holds no mean and matrix of a whitening; expected a pair, or a dict with "
            f"{_MEAN[0]!r} and {_MATRIX[0]!r}"
        )
    return tensors[str(named[0])], tensors[str(named[1])]


def fit_whitening(images: "torch.Tensor") -> Whitening:
    """Fit a whitening to training images, float (N, ...), with the unbiased covariance and the usual eps.

    Raises DistilledError if the images are too large for a matrix in memory.
    """
    import torch

    count, values = len(images), images[0].numel()
    if values > _MOST_VALUES:
        raise DistilledError(
            f"a whitening of images of {values:,} values is not fitted here (at most {_MOST_VALUES:,}); give its mean "
            "and matrix as a file by --zca FILE"
        )
    parts = images.flatten(1).split(_AT_ONCE)
    mean = sum((part.double().sum(0) for part in parts), torch.zeros(values, dtype=torch.float64)) / count
    covariance = torch.zeros(values, values, dtype=torch.float64)
    for part in parts:
        centred = part.double() - mean
        covariance.addmm_(centred.T, centred, alpha=1 / (count - 1))
    variances, directions = torch.linalg.eigh(covariance)
    inverse = (directions * (variances.clamp(min=0) + EPS).sqrt()) @ directions.T
    return Whitening(mean, inverse, {"fitted_on": count, "eps": EPS})
