"""An extractor pool on the Hub: what it states, and its files, which are looked at before they are downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.pool import POOL_FILE, TIMM_FILES, member_files
from ncfm_hub.extractors.pool_file import PoolFile, read_pool_file
from ncfm_hub.networks.build import shapes_of
from ncfm_hub.utils.hub_client import client, without_bars
from ncfm_hub.utils.hub_errors import expected_errors, explain, status_of
from ncfm_hub.utils.waiting import patient

POOL_CARD = "README.md"
_TEXTS = (POOL_FILE, "config.json", POOL_CARD)
# Far above what any pool takes, for a repository may state anything.
_MOST_TEXT = 2**24  # bytes
_BESIDE_WEIGHTS = 2**20  # bytes of names, shapes and digests in a file of weights


@dataclass(frozen=True)
class HubPool:
    """An extractor pool in a model repository at one commit.

    revision: the commit
    described: all that its pool.json states
    content: of that, what this version reads
    sizes: bytes of the files that belong to it, by name; others in the repository are not looked at
    """

    repo_id: str
    revision: str
    described: Mapping[str, Any]
    content: PoolFile
    sizes: Mapping[str, int]

    @property
    def place(self) -> str:
        """Repository and commit."""
        return f"{self.repo_id}@{self.revision}"


def look_at_pool(repo_id: str, revision: str | None, token: str | None) -> HubPool:
    """Return the pool in a repository, of which only pool.json is downloaded.

    Raises PoolError if it holds no pool, or one whose files are missing or larger than its architecture takes; and the
    Hub client's errors.
    """
    from huggingface_hub import hf_hub_download

    info = client(token).model_info(repo_id, revision=revision, files_metadata=True)
    origin = f"{repo_id}@{info.sha}"
    stated = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if POOL_FILE not in stated:
        raise PoolError(f"{origin} is not an extractor pool: it has no {POOL_FILE}")
    _check_size(origin, POOL_FILE, stated[POOL_FILE], _MOST_TEXT)
    # By the name that the user gave, which the Hub client then knows also without a connection.
    folder = Path(hf_hub_download(repo_id, POOL_FILE, revision=revision, token=token)).parent
    if folder.name != info.sha:
        raise PoolError(f"{repo_id} was changed while it was read; start again")
    described, content = read_pool_file(folder, origin)
    members = member_files(len(content.members))
    for name in members:
        if name not in stated:
            raise PoolError(f"{origin}: {name} is missing")
    sizes = {name: stated[name] for name in (*members, *TIMM_FILES, POOL_FILE, POOL_CARD) if name in stated}
    weights = sum(tensor.nbytes for tensor in shapes_of(content.network()).values())
    for name, size in sizes.items():
        _check_size(origin, name, size, _MOST_TEXT if name in _TEXTS else weights + _BESIDE_WEIGHTS)
    return HubPool(repo_id, str(info.sha), described, content, sizes)


def fetch_pool(repo_id: str, revision: str | None, token: str | None) -> Path:
    """Download a pool to the Hub client's cache; returns its folder there, which is named after the commit.

    Without a connection that is what was downloaded before.
    Raises PoolError if there is no such pool.
    """
    from huggingface_hub import snapshot_download

    try:
        with without_bars(), patient():
            found = look_at_pool(repo_id, revision, token)
            return Path(
                snapshot_download(repo_id, revision=found.revision, allow_patterns=sorted(found.sizes), token=token)
            )
    except expected_errors() as error:
        before = _fetched_before(repo_id, revision) if status_of(error) is None else None
        if before is None:
            raise PoolError(f"the pool cannot be fetched: {explain(error, repo_id, revision=revision)}") from None
        return before


def _fetched_before(repo_id: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo_id, revision=revision, local_files_only=True))
    except IncompleteSnapshotError as error:  # of files that may not belong to the pool: reading it tells
        return Path(error.snapshot_path)
    except (LocalEntryNotFoundError, ValueError):
        return None


def _check_size(origin: str, name: str, size: int, most: int) -> None:
    if size > most:
        raise PoolError(f"{origin}: {name} has {size:,} bytes, and a pool of its architecture at most {most:,}")
