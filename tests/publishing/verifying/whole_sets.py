"""Small datasets that are whole: with all that a run records about them."""

import statistics
from pathlib import Path
from typing import Any

import yaml

from ncfm_hub.publishing import Distilled, write_card
from tests.publishing.noise_sets import measured, noise_set, write_folder

DATA = "data"  # the directory of training images
RECORDED = {
    "pool": {
        "key": "5eed",
        "digest": "0" * 64,
        "classes": 3,
        "architecture": "ncfm_convnet3",
        "members": 2,
        "origin": "trained here",
        "trained_by_this_recipe": True,
    },
    "versions": {"ncfm_hub": "0.9.0", "python": "3.12.1", "torch": "2.15.0"},
    "created": "2026-01-02T03:04:05Z",
}


def inside(folder: Path, name: str, dataset: str = "ipc2") -> Path:
    """Where a file of a whole dataset is."""
    return folder / name if name == "README.md" else folder / dataset / name


def figure(mean: float) -> dict[str, Any]:
    """An accuracy of five students whose mean and deviation are those of its values."""
    values = [round(mean + apart, 2) for apart in (-0.4, -0.2, 0.0, 0.2, 0.4)]
    return {"n": 5, "mean": mean, "std": round(statistics.stdev(values), 2), "values": values}


def whole_results() -> dict[str, Any]:
    """A results.json of three rows."""
    results = measured(("random", "hard", 40.0), ("distilled", "hard", 60.0), ("distilled", "soft", 62.5))
    for row in results["rows"]:
        row["accuracy"] = figure(row["accuracy"]["mean"])
    return results


def whole_set(folder: Path, distilled: Distilled | None = None) -> Path:
    """A folder as `distill` leaves it."""
    distilled = distilled or noise_set()
    results = whole_results()
    for row in results["rows"]:
        row["images"] = len(distilled.images)
    write_folder(folder, distilled, results)
    pipeline = inside(folder, "pipeline.yaml", f"ipc{distilled.ipc}")
    described = yaml.safe_load(pipeline.read_text()) | RECORDED
    pipeline.write_text(yaml.safe_dump(described, sort_keys=False))
    write_card(folder)
    return folder
