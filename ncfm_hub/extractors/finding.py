"""Find the extractor pool that a user names: a folder, or a model repository on the Hub."""

import re
from pathlib import Path

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.hub_pool import fetch_pool
from ncfm_hub.extractors.pool import Pool, read_pool

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def split_place(place: str) -> tuple[str, str | None] | None:
    """Split `owner/name[@revision]` into repository and revision, None for the head; None for any other text."""
    repo_id, _, revision = place.partition("@")
    return (repo_id, revision or None) if _REPO_ID.fullmatch(repo_id) else None


def find_pool(place: str, token: str | None = None) -> Pool:
    """Load a pool from a local folder or a model repository on the Hub (`owner/name`, optionally `@revision`)."""
    folder = Path(place).expanduser()
    if folder.is_dir():
        return read_pool(folder, place)
    named = split_place(place)
    if named is None:
        raise PoolError(f"no pool folder {place!r}; expected a folder or a Hub model repository (owner/name)")
    fetched = fetch_pool(*named, token)
    return read_pool(fetched, f"{named[0]}@{fetched.name}")
