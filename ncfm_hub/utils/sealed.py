"""safetensors and JSON files with a digest of their content, so that damage is detected on reading.

The SHA-256 covers names, types, shapes, values and metadata. It is stored in the metadata of safetensors, and as an
entry in JSON.
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
    """Update a digest with the names, types, shapes and bits of tensors, in order of their names."""
    import torch

    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def contiguous(tensors: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Return tensors in the form that safetensors accepts."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def save_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"], facts: Mapping[str, str] | None = None) -> None:
    """Write tensors and facts as safetensors with a digest, atomically."""
    from safetensors.torch import save_file

    placed = contiguous(tensors)
    facts = dict(facts or {})
    with whole_file(path) as temporary:
        save_file(placed, temporary, {**facts, DIGEST: _digest(placed, facts)})


def load_tensors(path: Path, *, digest_needed: bool = True) -> tuple[dict[str, "torch.Tensor"], dict[str, str]]:
    """Return (tensors, facts) as saved; if not `digest_needed`, also from a file without a digest.

    Raises FileNotFoundError, and Damaged if the content is not as saved.
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
    """Remove a damaged file of tensors, with a note; it is then recomputed."""
    try:
        load_tensors(path)
    except FileNotFoundError:
        pass
    except Damaged as damage:
        progress.note(f"{path} is damaged ({damage}); it is made anew")
        path.unlink()


def save_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON with a digest, atomically."""
    write_json(path, {**record, DIGEST: _digest_of_record(record)})


def load_record(path: Path, *, digest_needed: bool = True) -> dict[str, Any]:
    """Return the record as saved; see `load_tensors`."""
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
    as_read = json.loads(json.dumps(record))  # JSON keys are text and sort as text
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()
