"""Files that carry a digest of what they hold, so that damage is found when they are read: safetensors and JSON.

The digest (SHA-256) covers names, kinds, shapes and values, and what is said beside them; it lies in the metadata of
safetensors and as an entry of its own in JSON.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import Damaged
from ncfm_hub.utils.files import whole_file, write_json
from ncfm_hub.utils.progress import Progress

if TYPE_CHECKING:
    import torch

DIGEST = "sha256"
CHANGED = "its content is not what was written"


def add_tensors(digest: "hashlib._Hash", tensors: Mapping[str, "torch.Tensor"]) -> None:
    """Continue a digest with the names, kinds, shapes and bits of tensors, in the order of their names."""
    import torch

    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def contiguous(tensors: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Tensors as safetensors takes them."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def save_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"], facts: Mapping[str, str] | None = None) -> None:
    """Write tensors and facts as safetensors with their digest, whole or not at all."""
    from safetensors.torch import save_file

    placed = contiguous(tensors)
    facts = dict(facts or {})
    with whole_file(path) as temporary:
        save_file(placed, temporary, {**facts, DIGEST: _digest(placed, facts)})


def load_tensors(path: Path, *, digest_needed: bool = True) -> tuple[dict[str, "torch.Tensor"], dict[str, str]]:
    """(tensors, facts) as saved; without `digest_needed` also of a file that carries no digest.

    Raises FileNotFoundError, and Damaged for all that is there and not as it was saved.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            facts = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError, ValueError) as error:
        raise Damaged(str(error)) from None
    found = facts.pop(DIGEST, None)
    if (found is not None or digest_needed) and found != _digest(tensors, facts):
        raise Damaged(CHANGED)
    return tensors, facts


def discard_damaged(path: Path, progress: Progress) -> None:
    """Remove a file of tensors that is damaged, and say so; whoever needs it makes it anew."""
    try:
        load_tensors(path)
    except FileNotFoundError:
        pass
    except Damaged as damage:
        progress.note(f"{path} is damaged ({damage}); it is made anew")
        path.unlink()


def save_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON with its digest, whole or not at all."""
    write_json(path, {**record, DIGEST: _digest_of_record(record)})


def load_record(path: Path, *, digest_needed: bool = True) -> dict[str, Any]:
    """The record as saved; see `load_tensors`."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(str(error)) from None
    if not isinstance(record, dict):
        raise Damaged("no JSON object")
    found = record.pop(DIGEST, None)
    if (found is not None or digest_needed) and found != _digest_of_record(record):
        raise Damaged(CHANGED)
    return record


def _digest(tensors: Mapping[str, "torch.Tensor"], facts: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    add_tensors(digest, tensors)
    return digest.hexdigest()


def _digest_of_record(record: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(record))  # keys are text there, and sorted as such
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()
