"""Validate a folder before it is published: what cannot be loaded or evaluated is not uploaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError, PoolError, PublishError
from ncfm_hub.publishing.cards.dataset_card import read_card, render_card
from ncfm_hub.publishing.cards.merging import parse_card
from ncfm_hub.publishing.cards.pool_card import POOL
from ncfm_hub.publishing.dataset.dataset import Distilled, differs_from_decoded
from ncfm_hub.publishing.dataset.layout import (
    CARD,
    CONFIGS,
    PIPELINE,
    PLOT,
    RESULTS,
    SHARD_PATTERN,
    TENSORS,
    directory_of,
)
from ncfm_hub.publishing.dataset.place import WORK_FOLDER, SetPlace, find_set, places_in
from ncfm_hub.publishing.dataset.reading import read_data, read_stored
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results
from ncfm_hub.publishing.dataset.studies import not_of_the_set
from ncfm_hub.publishing.hub.held import Held, held_pool, held_set
from ncfm_hub.utils.hub_client import RepoType


@dataclass(frozen=True)
class Checked:
    """The publishable content of a valid folder.

    root: the folder of the card
    files: path in the repository -> file, except the card and its plot, which are regenerated
    held: what identifies each distilled dataset, by name, or the pool under None
    left_out: files that are not published, with the reason
    """

    root: Path
    files: dict[str, Path]
    held: dict[str | None, Held]
    left_out: dict[Path, str]


def check_folder(folder: Path, repo_type: RepoType) -> Checked:
    """Read the distilled datasets (or the pool, for a model repository) in `folder` as users will load them.

    folder: of all, or of one of several
    Raises DistilledError, PoolError or PublishError naming the file and the problem.
    """
    if repo_type == "model":
        files = _files(folder)
        if card := files.pop(CARD, None):
            parse_card(card.read_text(encoding="utf-8"), str(card))
        described, needed = _check_pool(folder)
        return Checked(folder, files, {None: _held(folder, held_pool(described), POOL, files, needed)}, {})
    root, places, left_out = places_to_push(folder)
    read_card(root)
    files = _files_beside(root) if folder == root else {}
    held: dict[str | None, Held] = {}
    for place in places:
        own = _files(place.folder)
        distilled = read_data(place.folder)
        described, needed = _check_set(place.folder, distilled)
        held[place.name] = _held(place.folder, held_set(described), PIPELINE, own, needed)
        stale = not_of_the_set(place.folder, distilled.digest)
        left_out |= {place.folder / name: reason for name, reason in stale.items()}
        files |= {f"{place.name}/{name}": path for name, path in own.items() if name not in stale}
    return Checked(root, files, held, left_out)


def places_to_push(folder: Path) -> tuple[Path, list[SetPlace], dict[Path, str]]:
    """Return the folder of the card, the distilled datasets to push, and what is left out with the reason."""
    found = places_in(folder)
    if not found:
        place = find_set(folder)
        return place.root, [place], {}
    unfinished = {
        place.folder: "it is unfinished"
        for place in found
        if not place.finished and (place.folder / WORK_FOLDER).is_dir()
    }
    whole = [place for place in found if place.folder not in unfinished]
    if not whole:
        raise DistilledError(f"{folder} holds only unfinished distilled datasets; finish one with --resume")
    return folder, whole, unfinished


def _held(folder: Path, held: Held | None, described: str, files: Mapping[str, Path], needed: list[str]) -> Held:
    """Return what a folder holds. Raises DistilledError if that is unknown, or files that it needs are not pushed."""
    if held is None:
        raise DistilledError(f"{folder}: {described} does not say what it is of")
    if missing := [name for name in needed if name not in files]:
        raise DistilledError(f"{folder / missing[0]} is a link or hidden, and neither is published; put a copy there")
    return held


def _files_beside(root: Path) -> dict[str, Path]:
    """Return the files that users added to `root`, outside of any distilled dataset."""
    inside = {place.name for place in places_in(root)}
    return {
        name: path
        for name, path in _files(root).items()
        if name.partition("/")[0] not in inside and name not in (CARD, PLOT)
    }


def _files(folder: Path) -> dict[str, Path]:
    """Return path in the repository -> file; links, hidden files and files in hidden folders are excluded."""
    inside = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")))
    found = {
        name.as_posix(): path
        for name, path in inside
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in name.parts)
    }
    if not found:
        raise PublishError(f"{folder} has no files to push")
    return found


def _check_set(folder: Path, distilled: Distilled) -> tuple[dict[str, Any], list[str]]:
    """Return (content of pipeline.yaml, files that a repository must have)."""
    from ncfm_hub.publishing.dataset.provenance import recipe_of  # imports from this package, hence here

    _check_images(folder, distilled)
    described = read_pipeline(folder)
    recipe_of(described, folder / PIPELINE)
    _check_described(folder, distilled, described)
    measured = (folder / RESULTS).is_file()
    if not measured and "imported" not in described:  # an imported dataset may be published without evaluation
        raise DistilledError(f"{folder} has no {RESULTS}; evaluate it with `ncfm-hub evaluate {folder} --update`")
    render_card(described, read_results(folder), repo_id=None)
    shards = [path for config in CONFIGS for path in directory_of(folder, config).glob(SHARD_PATTERN)]
    if strange := [path for path in shards if path.suffix != ".parquet"]:
        raise DistilledError(f"{strange[0]} would be loaded with the dataset but is not part of it; move it away")
    needed = [TENSORS, PIPELINE, *(path.relative_to(folder).as_posix() for path in shards)]
    return described, needed + [RESULTS] * measured


def _check_images(folder: Path, distilled: Distilled) -> None:
    """Check that the three copies of the images agree."""
    import torch

    if differs_from_decoded(distilled.images, distilled.stored, distilled.factor).any():
        raise DistilledError(f"{folder}: the images in data/ are not those of {TENSORS}; the folder mixes two datasets")
    stored, labels, index = read_stored(folder, tuple(distilled.stored.shape[1:]))
    same = torch.equal(stored, distilled.stored) and torch.equal(labels, distilled.stored_labels)
    if not same or not torch.equal(index, torch.arange(len(distilled.stored))):
        raise DistilledError(
            f"{folder}: the images in stored/ are not those of {TENSORS}; the folder mixes two datasets"
        )


def _check_described(folder: Path, distilled: Distilled, described: Mapping[str, Any]) -> None:
    channels, resolution = distilled.stored.shape[1:3]
    source = described["source"]
    stated = {
        "class names": (source.get("class_names"), list(distilled.class_names)),
        "ipc": (described.get("ipc"), distilled.ipc),
        "factor": (described["recipe"]["distillation"].get("factor"), distilled.factor),
        "resolution": (source.get("resolution"), resolution),
        "channels": (source.get("channels"), channels),
    }
    for what, (said, found) in stated.items():
        if said != found:
            raise DistilledError(
                f"{folder}: {PIPELINE} says {what} {said}, and the images have {found}; the folder mixes two datasets"
            )


def _check_pool(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return (content of pool.json, files that a repository must have), after loading it as ncfm-hub and timm do."""
    from ncfm_hub.extractors.pool import member_file, read_pool

    pool = read_pool(folder, str(folder))
    _check_timm_files(folder, pool.members[0][1])
    members = [member_file(folder, n, which).name for n in range(len(pool.members)) for which in ("init", "trained")]
    described: dict[str, Any] = json.loads((folder / POOL).read_text(encoding="utf-8"))
    return described, [POOL, "model.safetensors", "config.json", *members]


def _check_timm_files(folder: Path, trained: Mapping[str, Any]) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / "model.safetensors")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise PoolError(f"{folder}: model.safetensors or config.json is not readable by timm ({error})") from None
    same = weights.keys() == trained.keys() and all(torch.equal(weights[name], trained[name]) for name in weights)
    if not same or not isinstance(config, dict) or "architecture" not in config:
        raise PoolError(f"{folder}: model.safetensors and config.json are not those of the pool's first member")
