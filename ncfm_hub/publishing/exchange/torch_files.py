"""Write and read `torch.save` files; from third-party files only tensors are read."""

import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.utils.files import whole_file

if TYPE_CHECKING:
    import torch

_DEEPEST = 4  # nesting of lists and dicts around a pair of tensors
_LABELS = ("labels", "targets")


def save_torch_file(path: Path, value: Any) -> None:
    """Write a tensor, or lists and dicts of tensors, atomically; equal values give equal bytes."""
    import torch

    with whole_file(path) as temporary, open(temporary, "wb") as handle:  # saving to a path would write its name too
        torch.save(value, handle)


def read_pair(path: Path) -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Return (images, labels) from a `torch.save` file; labels are None if it holds a single tensor.

    Accepts a tensor, [images, labels], lists of such pairs (the last counts), and dicts with `data` or `images` (and
    `labels` or `targets`): the structures used by the NCFM authors, and by DC, DSA, DM and MTT, which DC-Bench reads.
    Unpickles with weights_only, so no code in the file runs. Raises DistilledError for anything else.
    """
    import torch

    content: Any = _load(path)
    for _ in range(_DEEPEST):
        if isinstance(content, torch.Tensor):
            return _plain(content, path), None
        if isinstance(content, dict):
            inner = next((content[key] for key in ("data", "images") if key in content), None)
            labels = next((content[key] for key in _LABELS if key in content), None)
            content = [inner, labels] if isinstance(inner, torch.Tensor) and labels is not None else inner
        elif isinstance(content, list | tuple) and content:
            if len(content) == 2 and all(isinstance(part, torch.Tensor) for part in content):
                return _plain(content[0], path), _plain(content[1], path)
            content = content[-1] if isinstance(content[-1], list | tuple) else None
        else:
            break
    raise DistilledError(
        f"{path} holds no pair of tensors (images, labels); expected a list of the two, a dict with 'data', or a "
        "tensor of images whose labels are in a file of their own"
    )


def read_tensor(path: Path) -> "torch.Tensor":
    """Return the only tensor in a `torch.save` file. Raises DistilledError for anything else."""
    import torch

    content = _load(path)
    if not isinstance(content, torch.Tensor):
        raise DistilledError(f"{path} holds a {type(content).__name__}; expected one tensor")
    return _plain(content, path)


def _load(path: Path) -> Any:
    import torch

    if not path.is_file():
        raise DistilledError(f"{path}: there is no such file")
    try:
        with torch.serialization.safe_globals(_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"holds {named.group(1)}, which is no tensor" if named else "is no file of torch.save"
        raise DistilledError(f"{path} {what}; only tensors, numbers, text, lists and dicts are read") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can raise anything in the unpickler
        raise DistilledError(f"{path} cannot be read as a file of torch.save ({type(error).__name__})") from error


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
