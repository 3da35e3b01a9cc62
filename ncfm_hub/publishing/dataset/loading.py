"""Load a distilled dataset from a folder or the Hub."""

import os
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.layout import (
    CARD,
    CONTINUAL,
    DIRECTORIES,
    FORMER_DIRECTORIES,
    PIPELINE,
    RESULTS,
    SEARCH,
    SHARD_PATTERN,
    TENSORS,
)
from ncfm_hub.publishing.dataset.place import SetPlace, find_set
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.utils.hub_client import without_bars
from ncfm_hub.utils.hub_errors import expected_errors, explain
from ncfm_hub.utils.named import Named
from ncfm_hub.utils.waiting import patient


def load_distilled(
    repo_or_folder: Named, name: str | None = None, *, revision: str | None = None, token: str | None = None
) -> Distilled:
    """Load a distilled dataset from a local folder or a Hub repository.

    repo_or_folder: id of a dataset repository, or a folder; `owner/repository/ipc10` and `folder/ipc10` name one of
        several distilled datasets
    name: which of several; default: the one that the card marks as default
    revision: branch, tag or commit of the repository
    token: Hub token; default: the one you are logged in with
    Raises DistilledError if there is no such folder or repository, or it is not a distilled dataset.
    """
    return read_data(find(repo_or_folder, name, revision=revision, token=token).folder)


def locate(repo_or_folder: Named, *, revision: str | None = None, token: str | None = None) -> Path:
    """Return the folder of a distilled dataset; see `find`."""
    return find(repo_or_folder, revision=revision, token=token).folder


def find(
    repo_or_folder: Named, name: str | None = None, *, revision: str | None = None, token: str | None = None
) -> SetPlace:
    """Return where a distilled dataset lies, downloading it with its recipe and results if it is on the Hub.

    Arguments are those of `load_distilled`.
    Raises DistilledError if there is no such folder or repository, or no distilled dataset of that name in it.
    """
    named = os.fspath(repo_or_folder)
    folder = Path(named).expanduser()
    if folder.is_dir():
        return find_set(folder, name)
    repo_id, inside = split_target(named)
    if not isinstance(repo_or_folder, str) or named.startswith((".", "/", "~")) or repo_id is None:
        raise DistilledError(f"{named} is neither a folder nor a repository id of the form owner/name")
    return _download(repo_id, name or inside, revision, token)


def find_at(target: Named, name: str | None = None, *, token: str | None = None) -> SetPlace:
    """Return the same for a target that may end in `@REV`, a repository's branch, tag or commit."""
    repo, at, revision = os.fspath(target).partition("@")
    if not at or not isinstance(target, str) or Path(target).expanduser().exists():
        return find(target, name, token=token)
    return find(repo, name, revision=revision, token=token)


def split_target(target: str) -> tuple[str | None, str | None]:
    """Split `owner/repository/name` into the repository's id and the name; either is None where it is not given."""
    parts = target.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        return None, None
    return "/".join(parts[:2]), parts[2] if len(parts) == 3 else None


def _download(repo_id: str, name: str | None, revision: str | None, token: str | None) -> SetPlace:
    from huggingface_hub import snapshot_download

    def fetch(revision: str | None, *wanted: str) -> Path:
        return Path(
            snapshot_download(repo_id, repo_type="dataset", revision=revision, token=token, allow_patterns=list(wanted))
        )

    try:
        with without_bars(), patient():
            # What tells which datasets there are and which one is meant, then that one at the same commit.
            root = fetch(revision, CARD, PIPELINE, f"*/{PIPELINE}")
            place = find_set(root, name)
            start = f"{place.name}/" if place.name else ""
            data = (DIRECTORIES if place.name else FORMER_DIRECTORIES).values()
            shards = [f"{start}{directory}/{SHARD_PATTERN}.parquet" for directory in data]
            fetch(root.name, *shards, *(f"{start}{file}" for file in (TENSORS, RESULTS, CONTINUAL, SEARCH)))
    except expected_errors() as error:
        raise DistilledError(explain(error, repo_id, revision=revision)) from error
    return place
