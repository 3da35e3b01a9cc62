"""A third party's script: loads a distilled dataset with `datasets` alone, on a machine without ncfm_hub.

Prints a JSON object of what it found. Run with `python -I`, so that neither PYTHONPATH nor the current folder helps.
"""

import json
import sys
from typing import Any

sys.modules["ncfm_hub"] = None  # type: ignore[assignment]  # every import of it fails, as on a machine without it

import numpy as np  # noqa: E402
from datasets import ClassLabel, Image, List, load_dataset  # noqa: E402
from huggingface_hub import hf_hub_download  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402


def kind(feature: Any) -> Any:
    if isinstance(feature, List):
        return ["List", feature.length, feature.feature.dtype]
    return type(feature).__name__ if isinstance(feature, ClassLabel | Image) else feature.dtype


def pixels(loaded: Any) -> np.ndarray:
    """uint8 (N, H, W, 3)"""
    return np.stack([np.asarray(image) for image in loaded["image"]])


def config(loaded: Any) -> dict[str, Any]:
    return {
        "rows": len(loaded),
        "features": {name: kind(feature) for name, feature in loaded.features.items()},
        "names": loaded.features["label"].names,
        "labels": list(loaded["label"]),
        "sizes": sorted({(*image.size, image.mode, image.format) for image in loaded["image"]}),
    }


def enlarged(tile: np.ndarray) -> np.ndarray:
    """Bilinear, twice the side, corners not aligned: (N, h, w, c) -> (N, 2h, 2w, c); all weights are quarters."""
    for axis in (1, 2):
        side = tile.shape[axis]
        position = ((np.arange(2 * side) + 0.5) / 2 - 0.5).clip(0, side - 1)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, side - 1)
        share = (position - low).reshape([-1 if a == axis else 1 for a in range(4)])
        tile = np.take(tile, low, axis) * (1 - share) + np.take(tile, high, axis) * share
    return tile


def decoded(stored: np.ndarray) -> np.ndarray:
    """Stored uint8 (S, H, W, c) -> (4 S, H, W, c), the tiles of each image row by row, exact and not yet rounded."""
    half = stored.shape[1] // 2
    parts = [stored[:, y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
    tiles = np.stack(parts, axis=1).reshape(-1, half, half, stored.shape[3])
    return enlarged(tiles.astype(np.float32))  # multiples of 1/16 below 256


def main(repo_id: str, name: str) -> dict[str, Any]:
    default = load_dataset(repo_id, name, split="train")
    stored = load_dataset(repo_id, f"{name}_stored", split="train")
    tensors = load_file(hf_hub_download(repo_id, f"{name}/distilled.safetensors", repo_type="dataset"))
    soft = np.asarray(default.with_format("numpy")["soft_label"][:], dtype=np.float32)
    found = {"default": config(default), "stored": config(stored)}
    found["default"] |= {name: list(default[name]) for name in ("stored_index", "tile")}
    images = pixels(stored)
    sums = soft.astype(np.float64).sum(1)
    return found | {
        "soft_label_sums": [sums.min(), sums.max()],
        "soft_label_least": float(soft.min()),
        "stored_equal": bool(np.array_equal(images.transpose(0, 3, 1, 2), tensors["images"])),
        "soft_labels_equal": bool(np.array_equal(soft, tensors["soft_labels"])),
        "decoded_off_by": float(np.abs(decoded(images) - pixels(default)).max()),
        "card": open(hf_hub_download(repo_id, "README.md", repo_type="dataset"), encoding="utf-8").read(),
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[1], sys.argv[2]), sys.stdout)
