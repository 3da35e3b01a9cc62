"""Sources on a Hub under HF_HUB_OFFLINE: what was read before, at the commit that it was read at.

`datasets` loads what it built before, but may take another configuration or commit than was asked for. So a source is
found again by the very settings that it was read with, and its images in the cache of decoded sources.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from ncfm_hub.errors import Damaged
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources.cache import cache_path
from ncfm_hub.sources.place import HUB
from ncfm_hub.sources.splits import TestSplit
from ncfm_hub.sources.types import SourceInfo
from ncfm_hub.utils.files import cache_root
from ncfm_hub.utils.sealed import load_record, save_record


def remember_source(spec: SourceRecipe, test: TestSplit, info: SourceInfo) -> None:
    """Remember what a source on a Hub was found to be, under the revision that was asked for and under its commit."""
    for revision in {spec.revision, info.revision}:
        asked = spec.model_copy(update={"dataset": info.dataset, "revision": revision})
        save_record(_entry(asked, test), dataclasses.asdict(info))


def recall_source(spec: SourceRecipe, test: TestSplit) -> SourceInfo | None:
    """Return what a source was when it was last read, if the Hub may not be asked and its images are in the cache."""
    from huggingface_hub.constants import is_offline_mode

    if not is_offline_mode() or Path(spec.dataset).expanduser().is_dir():
        return None
    try:
        record = load_record(_entry(spec, test))
    except (FileNotFoundError, Damaged):
        return None
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    info = SourceInfo(**values)
    lacks_test = test == "required" and info.test_split is None
    return info if cache_path(info.fingerprint).is_file() and not lacks_test else None


def _entry(spec: SourceRecipe, test: TestSplit) -> Path:
    from huggingface_hub.constants import ENDPOINT

    # Whether test images must exist changes nothing about a source that has them.
    asked = spec.model_dump() | {"dataset": spec.dataset.removeprefix(HUB), "hub": ENDPOINT, "unread": test == "unread"}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return cache_root() / "sources" / "read" / f"{digest[:32]}.json"
