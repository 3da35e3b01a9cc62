"""Load a distilled dataset from a folder or the Hub."""

import os
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.layout import CONTINUAL, PIPELINE, RESULTS, SEARCH, SHARD_PATTERN, TENSORS
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.utils.hub_client import without_bars
from ncfm_hub.utils.hub_errors import expected_errors, explain
from ncfm_hub.utils.named import Named
from ncfm_hub.utils.waiting import patient


def load_distilled(repo_or_folder: Named, *, revision: str | None = None, token: str | None = None) -> Distilled:
    """Load a distilled dataset from a local folder or a Hub repository.

    repo_or_folder: id of a dataset repository, or a folder
    revision: branch, tag or commit of the repository
    token: Hub token; default: the one you are logged in with
    Raises DistilledError if there is no such folder or repository, or it is not a distilled dataset.
    """
    return read_data(locate(repo_or_folder, revision=revision, token=token))


def locate(repo_or_folder: Named, *, revision: str | None = None, token: str | None = None) -> Path:
    """Return the folder of a distilled dataset, downloading it with its recipe and results if it is on the Hub.

    Raises DistilledError if there is no such folder or repository.
    """
    named = os.fspath(repo_or_folder)
    folder = Path(named).expanduser()
    if folder.is_dir():
        return folder
    if not isinstance(repo_or_folder, str) or named.startswith((".", "/", "~")) or named.count("/") != 1:
        raise DistilledError(f"{named} is neither a folder nor a repository id of the form owner/name")
    return _download(named, revision, token)


def _download(repo_id: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        with without_bars(), patient():
            wanted = [TENSORS, f"default/{SHARD_PATTERN}.parquet", PIPELINE, RESULTS, CONTINUAL, SEARCH]
            return Path(
                snapshot_download(repo_id, repo_type="dataset", revision=revision, token=token, allow_patterns=wanted)
            )
    except expected_errors() as error:
        raise DistilledError(explain(error, repo_id, revision=revision)) from error
