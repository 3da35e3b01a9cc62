"""Decoded sources on disk: one safetensors file for each key, checked by digest when it is read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import Damaged
from ncfm_hub.utils.files import cache_root
from ncfm_hub.utils.sealed import load_tensors, save_tensors

if TYPE_CHECKING:
    import torch

FORMAT = 2


def cache_path(key: str) -> Path:
    """Where the tensors of a source with fingerprint `key` are kept."""
    return cache_root() / "sources" / f"{key[:32]}-{FORMAT}.safetensors"


def save(path: Path, tensors: Mapping[str, "torch.Tensor"], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts, whole or not at all."""
    save_tensors(path, tensors, {"facts": json.dumps(facts)})


def load(path: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]] | None:
    """(tensors, facts) as saved; None if there is no such file, or if it is damaged."""
    try:
        tensors, told = load_tensors(path)
    except (FileNotFoundError, Damaged):
        return None
    return tensors, json.loads(told["facts"])
