"""Checkpoints of an unfinished distillation: one safetensors file with a digest, written atomically."""

import json
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.errors import CheckpointError, Damaged
from ncfm_hub.utils.sealed import load_tensors, save_tensors


def save_checkpoint(
    path: Path, tensors: dict[str, torch.Tensor], step: int, seconds: float, settings: dict[str, Any]
) -> None:
    """Write the state after `step` steps, which took `seconds`; a resumed run must have the same `settings`."""
    save_tensors(path, tensors, {"step": str(step), "seconds": str(seconds), "settings": json.dumps(settings)})


def load_checkpoint(path: Path, settings: dict[str, Any]) -> tuple[dict[str, torch.Tensor], int, float]:
    """Return tensors, completed steps and their seconds. Raises CheckpointError naming the first differing setting."""
    try:
        tensors, metadata = load_tensors(path)
        found = json.loads(metadata["settings"])
        step, seconds = int(metadata["step"]), float(metadata["seconds"])
    except (OSError, Damaged, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a readable checkpoint ({error}); remove it to distill from the first step"
        ) from None
    difference = _first_difference(found, json.loads(json.dumps(settings)))
    if difference:
        name, was, now = difference
        raise CheckpointError(f"{path} was made with {name} = {was}, this run has {now}; give the same settings")
    return tensors, step, seconds


def _first_difference(found: dict[str, Any], wanted: dict[str, Any]) -> tuple[str, Any, Any] | None:
    for name in [*wanted, *(name for name in found if name not in wanted)]:
        was, now = found.get(name), wanted.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            inner = _first_difference(was, now)
            if inner:
                return f"{name}.{inner[0]}", inner[1], inner[2]
        elif was != now:
            return name, was, now
    return None
