"""Splits that the README of an image folder declares: `configs` with `data_files` or `data_dir`."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ncfm_hub.sources.layout import Places
from ncfm_hub.sources.listing import METADATA_NAMES, Listed
from ncfm_hub.sources.place import Place

if TYPE_CHECKING:
    from datasets import DatasetBuilder

_MAGIC = "*?[{"


def given_splits(builder: "DatasetBuilder", images: Sequence[Listed], place: Place) -> dict[str, Places] | None:
    """Return the images of each declared split with their folders below those of its patterns; None without any."""
    from datasets.data_files import sanitize_patterns

    patterns = _entry(place.card, str(builder.config.name)).get("data_files")
    if not patterns:
        return None
    start = f"{place.loadable}@{place.revision}/" if place.folder is None else f"{place.loadable}/"
    splits: dict[str, Places] = {}
    for split, wanted in sanitize_patterns(patterns).items():
        root = _common([_fixed(pattern) for pattern in wanted])
        files = {str(file).removeprefix(start) for file in (builder.config.data_files or {}).get(split, [])}
        splits[split] = [
            (number, image.place.parts[len(root) : -1]) for number, image in enumerate(images) if image.file in files
        ]
    return {split: places for split, places in splits.items() if places}


def wanted_by(builder: "DatasetBuilder", listed: Sequence[Listed], place: Place) -> list[Listed]:
    """Return the images or metadata files that a configuration reads: those inside its `data_dir`."""
    entry = _entry(place.card, str(builder.config.name))
    folder = PurePosixPath(str(entry.get("data_dir") or "."))
    return [
        one
        for one in listed
        if one.place.is_relative_to(folder) and not (entry.get("drop_metadata") and one.place.name in METADATA_NAMES)
    ]


def _entry(card: dict[str, Any], config: str) -> dict[str, Any]:
    configs = [entry for entry in card.get("configs") or [] if isinstance(entry, dict)]
    return next((entry for entry in configs if entry.get("config_name") == config), {})


def _fixed(pattern: str) -> tuple[str, ...]:
    """Return the folders of a pattern before its first wildcard."""
    parts = PurePosixPath(pattern).parts
    first = next((at for at, part in enumerate(parts) if any(mark in part for mark in _MAGIC)), len(parts) - 1)
    return parts[:first]


def _common(roots: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    shared = []
    for level in zip(*roots, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return tuple(shared)
