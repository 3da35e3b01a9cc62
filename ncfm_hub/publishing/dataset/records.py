"""What lies beside the images: `pipeline.yaml` and `results.json`, read back."""

from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import PIPELINE, RESULTS
from ncfm_hub.utils.mappings import Kinds, read_mapping

# What their sections are, where they are there; what stands in these is for those who read it to check.
_GROUPS = ("recipe", "source", "pool", "machine", "versions", "wall_time_seconds", "imported")
_OF_PIPELINE: Kinds = {**dict.fromkeys(_GROUPS, dict), "parts": list, "differs_from_all_at_once": list}
_OF_RESULTS: Kinds = {
    **dict.fromkeys(("protocol", "distillation", "pool", "ranking"), dict),
    **dict.fromkeys(("rows", "cross_architecture"), list),
}


def read_pipeline(folder: Path) -> dict[str, Any]:
    """Content of `pipeline.yaml`. Raises DistilledError when it is not there or not a mapping."""
    try:
        return read_mapping(folder / PIPELINE, "YAML", _OF_PIPELINE)
    except FileNotFoundError as error:
        raise DistilledError(f"{folder} is not a distilled dataset of ncfm-hub: it has no {PIPELINE}") from error


def read_results(folder: Path) -> dict[str, Any]:
    """Content of `results.json`; empty when nothing was measured yet. Raises DistilledError when it is damaged."""
    path = folder / RESULTS
    return read_mapping(path, "JSON", _OF_RESULTS) if path.is_file() else {}
