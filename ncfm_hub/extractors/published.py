"""Look for a published pool that was trained with the settings of a run, without delaying or breaking the run."""

from collections.abc import Iterator
from contextlib import suppress

from ncfm_hub.errors import NcfmHubError, PoolError
from ncfm_hub.extractors.finding import split_place
from ncfm_hub.extractors.hub_pool import look_at_pool
from ncfm_hub.sources.lookup import account_of, current_token
from ncfm_hub.utils.hub_client import without_bars
from ncfm_hub.utils.hub_errors import expected_errors
from ncfm_hub.utils.slugs import slug
from ncfm_hub.utils.waiting import patient


def pool_repo_name(pipeline: str) -> str:
    """Return the default repository of a pipeline's pool, without the owner."""
    return f"{slug(pipeline)}-ncfm-pool"


def find_published(key: str, pipeline: str, named: str | None, token: str | None) -> str | None:
    """Return repository and commit of a published pool that states this key; None if there is none.

    Looked for in the user's `<user>/<pipeline>-ncfm-pool`, then in the repository `named`. A Hub that cannot be asked,
    for lack of a connection, a token or permission, is passed over; a pool that cannot be one is reported.
    """
    from huggingface_hub.constants import is_offline_mode

    if is_offline_mode():
        return None
    with without_bars(), patient() as patience:
        for place in _places(pipeline, named, token):
            try:
                found = look_at_pool(*place, token)
            except PoolError as error:
                patience.note(f"{error}; it is not used")
            except _no_answers():
                continue
            else:
                if found.content.key == key:
                    return found.place
    return None


def _places(pipeline: str, named: str | None, token: str | None) -> Iterator[tuple[str, str | None]]:
    known = current_token(token)
    if known is not None:
        with suppress(NcfmHubError, *_no_answers()):
            yield f"{account_of(known)}/{pool_repo_name(pipeline)}", None
    place = split_place(named or "")
    if place is not None:
        yield place


def _no_answers() -> tuple[type[Exception], ...]:
    """Return the errors of the Hub client, and those of answers that are none, as of the sign-in page of a network."""
    return (*expected_errors(), LookupError, TypeError, AttributeError)
