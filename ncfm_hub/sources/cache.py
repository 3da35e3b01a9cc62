"""Decoded sources on disk: one safetensors file for each key, checked by digest when it is read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.files import cache_root, whole_file

if TYPE_CHECKING:
    import torch


def cache_path(key: str) -> Path:
    """Where the tensors of a source with fingerprint `key` are kept."""
    return cache_root() / "sources" / f"{key[:32]}.safetensors"


def save(path: Path, tensors: Mapping[str, "torch.Tensor"], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts, whole or not at all."""
    from safetensors.torch import save_file

    with whole_file(path) as temporary:
        save_file(dict(tensors), temporary, {"digest": _digest(tensors), "facts": json.dumps(facts)})


def load(path: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]] | None:
    """(tensors, facts) as saved; None if there is no such file, or if it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
        facts = json.loads(metadata["facts"])
    except (FileNotFoundError, SafetensorError, OSError, KeyError, ValueError):
        return None
    return (tensors, facts) if metadata.get("digest") == _digest(tensors) else None


def _digest(tensors: Mapping[str, "torch.Tensor"]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
