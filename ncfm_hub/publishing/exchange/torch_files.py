"""Write and read `torch.save` files; from third-party files only tensors are read."""

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.utils.files import whole_file

if TYPE_CHECKING:
    import torch

_DEEPEST = 4  # nesting of lists and dicts around a pair of tensors
# Names in released files, the first that is there counts: NCFM, DC, DSA, DM; then KIP, FRePo, RCIG.
_IMAGES = ("data", "images", "image", "image_syn", "images_syn", "syn_images", "x", "coreset_images", "x_proto")
_LABELS = (
    *("labels", "targets", "label", "target", "label_syn", "labels_syn", "syn_labels", "y"),
    *("coreset_labels", "y_proto"),
)


@dataclass(frozen=True)
class Released:
    """Tensors of a third-party file; labels are None if it holds images alone.

    assumed: what was taken where the file left a choice
    """

    images: "torch.Tensor"
    labels: "torch.Tensor | None"
    assumed: tuple[str, ...]


def save_torch_file(path: Path, value: Any) -> None:
    """Write a tensor, or lists and dicts of tensors, atomically; equal values give equal bytes."""
    import torch

    with whole_file(path) as temporary, open(temporary, "wb") as handle:  # saving to a path would write its name too
        torch.save(value, handle)


def read_released(path: Path) -> Released:
    """Return images and labels from a `torch.save` file.

    Accepts a tensor, (images, labels), lists of such pairs (the last counts), and dicts with the usual keys: the
    structures used by the NCFM authors, by DC, DSA, DM, MTT and DATM, and by exports of RCIG.
    Unpickles with weights_only, so no code in the file runs. Raises DistilledError for anything else.
    """
    import torch

    content: Any = _load(path)
    assumed: list[str] = []
    for _ in range(_DEEPEST):
        if isinstance(content, torch.Tensor):
            return Released(_plain(content, path), None, tuple(assumed))
        if isinstance(content, dict):
            content = _of_mapping(content, assumed)
        elif isinstance(content, list | tuple) and content:
            if len(content) == 2 and all(isinstance(part, torch.Tensor) for part in content):
                return Released(_plain(content[0], path), _plain(content[1], path), tuple(assumed))
            content = _of_experiments(content, assumed)
        else:
            break
    raise DistilledError(
        f"{path} holds no pair of tensors (images, labels); expected a list of the two, a dict with 'data', or a "
        "tensor of images whose labels are in a file of their own"
    )


def _of_mapping(content: Mapping[Any, Any], assumed: list[str]) -> Any:
    """Return (images, labels), images alone, or what else stands under the images' key; None without such a key."""
    import torch

    images, labels = (first_key(content, keys) for keys in (_IMAGES, _LABELS))
    if images is None:
        return None
    paired = isinstance(content[images], torch.Tensor) and labels is not None
    assumed.append(f"images are {images!r} in the file" + (f", labels {labels!r}" if paired else ""))
    return [content[images], content[labels]] if paired else content[images]


def _of_experiments(content: Sequence[Any], assumed: list[str]) -> Any:
    if not isinstance(content[-1], list | tuple):
        return None
    if len(content) > 1:
        assumed.append(f"of {len(content)} experiments in the file, the last one counts")
    return content[-1]


def first_key(content: Mapping[Any, Any], keys: Sequence[str]) -> str | None:
    """Return the first of `keys` that a dict has."""
    return next((key for key in keys if key in content), None)


def read_labels(path: Path) -> "torch.Tensor":
    """Return the labels in a `torch.save` file of their own. Raises DistilledError for anything but a tensor."""
    import torch

    content = _load(path)
    if isinstance(content, dict) and (key := first_key(content, _LABELS)):
        content = content[key]
    if not isinstance(content, torch.Tensor):
        raise DistilledError(f"{path} holds a {type(content).__name__}; expected one tensor")
    return _plain(content, path)


def read_tensors_of(path: Path) -> "dict[str, torch.Tensor]":
    """Return the tensors of a file that holds a dict, list or tuple of them; those of a list by position.

    Raises DistilledError for anything else.
    """
    import torch

    content = _load(path)
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        raise DistilledError(f"{path} holds a {type(content).__name__}; expected several tensors, as a dict or a list")
    return {str(key): _plain(value, path) for key, value in content.items() if isinstance(value, torch.Tensor)}


def _load(path: Path) -> Any:
    import torch

    if not path.is_file():
        raise DistilledError(f"{path}: there is no such file")
    try:
        _refuse_unfolding(path)
        with torch.serialization.safe_globals(_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"holds {named.group(1)}, which is no tensor" if named else "is no file of torch.save"
        raise DistilledError(f"{path} {what}; only tensors, numbers, text, lists and dicts are read") from error
    except (MemoryError, DistilledError):
        raise
    except Exception as error:  # a damaged file can raise anything in the unpickler
        raise DistilledError(f"{path} cannot be read as a file of torch.save ({type(error).__name__})") from error


def _refuse_unfolding(path: Path) -> None:
    """Reject an archive whose records are larger than the file: `torch.save` stores each once, uncompressed."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(record.file_size for record in archive.infolist())
    if size > path.stat().st_size:
        raise DistilledError(
            f"{path} unfolds to {size:,} bytes from {path.stat().st_size:,}; expected a file of torch.save, which is "
            "not compressed"
        )


def _numbers() -> list[Any]:
    """Return what unpickling allows beyond tensors: numpy scalars, since DC and DM store accuracies beside images."""
    import numpy as np

    number = np.float64(0).__reduce__()[0]  # numpy's function that rebuilds a scalar from its type and bytes
    old_name = (number, "numpy.core.multiarray.scalar")  # its name in numpy 1
    return [number, old_name, np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8"))]


def _plain(tensor: "torch.Tensor", path: Path) -> "torch.Tensor":
    """Detach a tensor; rejects one whose storage is smaller than its shape, since a few bytes can claim any shape."""
    import torch

    whole = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    if not whole or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise DistilledError(f"{path} holds a tensor {tuple(tensor.shape)} that is sparse, quantised or not all there")
    return tensor.detach()
