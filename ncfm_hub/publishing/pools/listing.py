"""Find extractor pools: those in the cache, and those that a user has published."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.finding import split_place
from ncfm_hub.extractors.hub_pool import look_at_pool
from ncfm_hub.extractors.pool import POOL_FILE, pools_folder
from ncfm_hub.publishing.cards.pool_card import POOL_TAG
from ncfm_hub.publishing.pools.description import PoolDescription, describe_hub_pool, describe_pool_folder
from ncfm_hub.sources.lookup import account_of, current_token
from ncfm_hub.utils.hub_client import client, without_bars
from ncfm_hub.utils.hub_errors import expected_errors, explain
from ncfm_hub.utils.named import Named, text_of
from ncfm_hub.utils.progress import Progress, Silent
from ncfm_hub.utils.waiting import patient

# A folder of the cache, or its beginning: a key, and for a pulled pool a part of its digest.
_KEY = re.compile(r"[0-9a-f]{6,32}(?:-[0-9a-f]{0,16})?")


def list_pools(
    *, hub: bool = False, token: str | None = None, progress: Progress | None = None
) -> list[PoolDescription]:
    """Return the extractor pools in the cache; damaged ones are left out, with a note, and unfinished ones too.

    hub: also those that you have published
    token: Hub token; default: the one you are logged in with
    progress: receives the notes; default: silent
    Raises PoolError if the Hub cannot be asked.
    """
    progress = progress or Silent()
    return [*_cached(progress), *(_published(token, progress) if hub else ())]


def show_pool(target: Named, *, token: str | None = None) -> PoolDescription:
    """Describe one extractor pool. A local one is read and checked, of one on the Hub only pool.json is downloaded.

    target: a folder, the key of a pool in the cache or its beginning, or a model repository, `owner/name[@revision]`
    token: Hub token; default: the one you are logged in with
    Raises PoolError if there is no such pool, or it is damaged.
    """
    named = text_of(target)
    folder = local_pool(named)
    if folder is not None:
        return describe_pool_folder(folder)
    place = split_place(named)
    if place is None:
        raise PoolError(
            f"{named!r} is no pool; expected a folder, the key of a pool in the cache (`ncfm-hub pool list`), or a "
            "model repository (owner/name)"
        )
    try:
        with without_bars(), patient():
            return describe_hub_pool(look_at_pool(*place, token))
    except expected_errors() as error:
        raise PoolError(explain(error, place[0], revision=place[1])) from None


def local_pool(target: str) -> Path | None:
    """Return the folder that `target` names: a folder, or the key of a pool in the cache or its beginning; else None.

    Raises PoolError if several pools have keys with that beginning.
    """
    folder = Path(target).expanduser()
    if folder.is_dir():
        return folder
    if not _KEY.fullmatch(target):
        return None
    found = {path.parent.name: path.parent for path in pools_folder().glob(f"{target}*/{POOL_FILE}")}
    if target in found or len(found) < 2:
        return found.get(target) or next(iter(found.values()), None)
    raise PoolError(f"{target} is the beginning of several pools; name one of {', '.join(sorted(found))}")


def _cached(progress: Progress) -> Iterator[PoolDescription]:
    for path in sorted(pools_folder().glob(f"[!.]*/{POOL_FILE}"), key=os.path.getmtime):
        try:
            yield describe_pool_folder(path.parent, read=False)
        except PoolError as error:
            progress.note(f"{error}; it is not listed")


def _published(token: str | None, progress: Progress) -> Iterator[PoolDescription]:
    known = current_token(token)
    if known is None:
        raise PoolError("your pools on the Hub are those of your account: run `hf auth login`, or set HF_TOKEN")
    user = account_of(known)
    try:
        with without_bars(), patient():
            for model in client(known).list_models(author=user, filter=POOL_TAG):
                try:
                    yield describe_hub_pool(look_at_pool(model.id, None, known))
                except PoolError as error:
                    progress.note(f"{error}; it is not listed")
    except expected_errors() as error:
        raise PoolError(explain(error, f"the pools of {user}")) from None
