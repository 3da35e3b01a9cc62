"""Cache of decoded sources: one safetensors file per key, verified by digest when read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import Damaged
from ncfm_hub.utils.files import cache_root
from ncfm_hub.utils.sealed import load_tensors, save_tensors

if TYPE_CHECKING:
    import torch

SOURCE_CACHE_FORMAT = 2


def cache_path(key: str) -> Path:
    """Return the cache path of the source with fingerprint `key`."""
    return cache_root() / "sources" / f"{key[:32]}-{SOURCE_CACHE_FORMAT}.safetensors"


def save(path: Path, tensors: Mapping[str, "torch.Tensor"], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-serialisable facts atomically."""
    save_tensors(path, tensors, {"facts": json.dumps(facts)})


def load_cached(path: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]] | None:
    """Return (tensors, facts) as saved; None if the file is missing or damaged."""
    try:
        tensors, told = load_tensors(path)
    except (FileNotFoundError, Damaged):
        return None
    return tensors, json.loads(told["facts"])
