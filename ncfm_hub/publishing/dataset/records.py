"""Read the records beside the images: `pipeline.yaml` and `results.json`."""

from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import PIPELINE, RESULTS
from ncfm_hub.utils.mappings import Kinds, read_mapping

# Keys that must be mappings if present; their content is validated where it is used.
_GROUPS = ("recipe", "source", "pool", "machine", "versions", "wall_time_seconds", "imported")
_OF_PIPELINE: Kinds = {**dict.fromkeys(_GROUPS, dict), "parts": list, "differs_from_all_at_once": list}
_OF_RESULTS: Kinds = {
    **dict.fromkeys(("protocol", "distillation", "pool", "ranking"), dict),
    **dict.fromkeys(("rows", "cross_architecture"), list),
}


def read_pipeline(folder: Path) -> dict[str, Any]:
    """Read `pipeline.yaml`. Raises DistilledError if it is missing or not a mapping."""
    try:
        return read_record(folder / PIPELINE)
    except FileNotFoundError as error:
        raise DistilledError(f"{folder} is not a distilled dataset of ncfm-hub: it has no {PIPELINE}") from error


def read_record(file: Path) -> dict[str, Any]:
    """Read a `pipeline.yaml` under any name. Raises FileNotFoundError, and DistilledError if it is not a mapping."""
    return read_mapping(file, "YAML", _OF_PIPELINE)


def read_results(folder: Path) -> dict[str, Any]:
    """Read `results.json`; empty if nothing was evaluated yet. Raises DistilledError if it is damaged."""
    path = folder / RESULTS
    return read_mapping(path, "JSON", _OF_RESULTS) if path.is_file() else {}
