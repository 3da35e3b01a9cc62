"""A published dataset and the same dataset made again, as folders, without a run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ncfm_hub.publishing import Distilled
from ncfm_hub.publishing.dataset.place import SetPlace
from tests.publishing.verifying.whole_sets import whole_set

MACHINE = {
    "device": "cpu",
    "description": "two cores",
    "threads": 2,
    "processes": 1,
    "precision": "fp32",
    "compile": False,
    "native": False,
}


def edited(place: SetPlace, change: Callable[[dict[str, Any]], object]) -> SetPlace:
    """Change pipeline.yaml."""
    file = place.folder / "pipeline.yaml"
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return place


def rescored(place: SetPlace, change: Callable[[dict[str, Any]], object]) -> SetPlace:
    """Change results.json."""
    file = place.folder / "results.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return place


def whole_place(folder: Path, distilled: Distilled | None = None) -> SetPlace:
    """A dataset of noise with all that a run on two cores records."""
    whole_set(folder, distilled)
    name = "ipc2" if distilled is None else f"ipc{distilled.ipc}"
    return edited(
        SetPlace(folder, name), lambda content: (content.update(machine=MACHINE), content["versions"].update(timm="1"))
    )
