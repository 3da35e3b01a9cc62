"""Pools pulled from the Hub into the cache: whole, checked, and marked with where they came from.

A key says how a pool was made, but only its publisher knows whether it was made so. Pulled pools therefore lie beside
those trained here, never in their place.
"""

import os
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from ncfm_hub.errors import Damaged, PoolError
from ncfm_hub.extractors.finding import split_place
from ncfm_hub.extractors.hub_pool import POOL_CARD, fetch_pool
from ncfm_hub.extractors.pool import (
    POOL_FILE,
    TIMM_FILES,
    Pool,
    member_files,
    pools_folder,
    read_pool,
    timm_files_are_sound,
)
from ncfm_hub.utils.sealed import load_record, save_record

PULLED = ".pulled.json"  # where a pool in the cache was pulled from; hidden, so neither copied nor pushed
_KEY = re.compile(r"[0-9a-f]{32}")


def pull_pool(place: str, *, token: str | None = None) -> Pool:
    """Download a pool from the Hub, check it, and put it into the cache, where runs with its settings find it.

    place: model repository, `owner/name` or `owner/name@revision`
    token: Hub token; default: the one you are logged in with
    Returns the pool; its `folder` is the one in the cache. A pool that is there already is not copied again.
    Raises PoolError if there is no such pool, or its files are missing, damaged or not those that it states.
    """
    named = split_place(place)
    if named is None:
        raise PoolError(f"{place!r} is no pool on the Hub; expected owner/name, or owner/name@revision")
    fetched = fetch_pool(*named, token)
    pool = read_pool(fetched, f"{named[0]}@{fetched.name}", digests_needed=True)
    if not _KEY.fullmatch(pool.key):
        raise PoolError(f"{pool.origin}: {POOL_FILE} gives the key {pool.key[:40]!r}; expected 32 hex digits")
    if not timm_files_are_sound(fetched):
        raise PoolError(f"{pool.origin}: {' or '.join(TIMM_FILES)} is missing, or not as {POOL_FILE} states")
    folder = pools_folder() / f"{pool.key}-{pool.digest[:16]}"
    try:
        return read_pulled(folder)
    except PoolError:  # not there, or damaged
        _put(fetched, folder, pool, named[0])
    return read_pulled(folder)


def pulled_pools(key: str) -> list[Path]:
    """Return the folders in the cache of pulled pools with this key."""
    return sorted(path.parent for path in pools_folder().glob(f"{key}-*/{PULLED}"))


def pulled_from(folder: Path) -> str:
    """Return the repository and commit that a pool in the cache was pulled from. Raises PoolError if unknown."""
    try:
        record = load_record(folder / PULLED)
        return f"{record['repo_id']}@{record['revision']}"
    except (OSError, Damaged, KeyError) as error:
        raise PoolError(f"{folder}: {PULLED} is missing or damaged ({error})") from None


def read_pulled(folder: Path) -> Pool:
    """Read a pulled pool in the cache. Raises PoolError if it is not there, or damaged."""
    return read_pool(folder, pulled_from(folder), digests_needed=True)


def _put(fetched: Path, folder: Path, pool: Pool, repo_id: str) -> None:
    """Copy a checked pool to its folder in the cache, as a whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".pulling-", dir=folder.parent) as temporary:
        whole = Path(temporary) / folder.name
        whole.mkdir()
        for name in (*member_files(len(pool.members)), *TIMM_FILES, POOL_FILE, POOL_CARD):
            if (fetched / name).is_file():
                shutil.copyfile(fetched / name, whole / name)
        save_record(whole / PULLED, {"repo_id": repo_id, "revision": fetched.name})
        shutil.rmtree(folder, ignore_errors=True)  # damaged
        try:
            os.rename(whole, folder)
        except OSError:
            read_pulled(folder)  # another run has just put it there
