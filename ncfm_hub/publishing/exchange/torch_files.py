"""Files of `torch.save`: those we write for others, and those of others, of which only tensors are read."""

import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.utils.files import whole_file

if TYPE_CHECKING:
    import torch

_DEEPEST = 4  # lists and dicts around a pair of tensors
_LABELS = ("labels", "targets")


def save_tensors(path: Path, value: Any) -> None:
    """Write a tensor, or lists and dicts of tensors, whole or not at all; equal values give equal bytes."""
    import torch

    with whole_file(path) as temporary, open(temporary, "wb") as handle:  # by its path, the name would be written too
        torch.save(value, handle)


def read_pair(path: Path) -> "tuple[torch.Tensor, torch.Tensor | None]":
    """(images, labels) in a file of `torch.save`; labels are None where it holds a single tensor.

    Understood are a tensor, [images, labels], lists of such pairs, of which the last counts, and dicts with `data` or
    `images` (and `labels` or `targets`): the forms of NCFM's authors, and of DC, DSA, DM and MTT, which DC-Bench reads.
    Raises DistilledError for anything else. Nothing in the file is run: it is unpickled with weights_only.
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
    """The only tensor in a file of `torch.save`. Raises DistilledError for anything else."""
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
    except Exception as error:  # what a damaged file makes of an unpickler can be anything
        raise DistilledError(f"{path} cannot be read as a file of torch.save ({type(error).__name__})") from error


def _numbers() -> list[Any]:
    """What unpickling allows beyond tensors: numpy's numbers, as accuracies stand beside the images of DC and DM."""
    import numpy as np

    number = np.float64(0).__reduce__()[0]  # numpy's own maker of a number from its type and bytes
    old_name = (number, "numpy.core.multiarray.scalar")  # as numpy 1 wrote it
    return [number, old_name, np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8"))]


def _plain(tensor: "torch.Tensor", path: Path) -> "torch.Tensor":
    """Without gradient; refused unless it has all the memory that its shape says: a few bytes can claim any shape."""
    import torch

    whole = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    if not whole or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise DistilledError(f"{path} holds a tensor {tuple(tensor.shape)} that is sparse, quantised or not all there")
    return tensor.detach()
