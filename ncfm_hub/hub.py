"""What every conversation with a Hub needs: the client, which failures pass, and one line for those that don't."""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ncfm_hub.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RepoType = Literal["dataset", "model"]
T = TypeVar("T")

TRIES = 6
FIRST_WAIT = 1.0  # seconds; doubled after each try, so that six tries give a Hub half a minute
LONGEST_WAIT = 30.0
# 409 and 412: someone else has committed meanwhile. 408 and 5xx: the Hub or something before it was busy.
_PASSING = frozenset({408, 409, 412, 429, 500, 502, 503, 504})


def client(token: str | None) -> "HfApi":
    """A Hub client that uses `token`, else the one the user is logged in with."""
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="ncfm-hub")


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the Hub client's own progress bars off stderr: the library is silent unless asked to speak."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def with_retries(action: Callable[[], T], *, what: str, progress: Progress, tries: int | None = None) -> T:
    """Call `action` until it succeeds, waiting longer each time; its error is raised if it won't pass or tries are out.

    `action` must be repeatable: after a dropped connection the Hub may have done what was asked.
    """
    tries = TRIES if tries is None else tries
    for attempt in range(1, tries + 1):
        try:
            return action()
        except Exception as error:
            if attempt == tries or not is_passing(error):
                raise
            seconds = _wait(attempt, error)
            progress.note(f"{what}: {short(error)}; trying again in {seconds:.0f} s ({attempt} of {tries - 1})")
            time.sleep(seconds)
    raise AssertionError("unreachable: tries is at least 1")


def _wait(attempt: int, error: BaseException) -> float:
    asked = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
    if asked.isdigit():
        return float(min(int(asked), 2 * LONGEST_WAIT))
    # Jitter, so that several pushes that collided once do not collide for ever.
    return min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT) * random.uniform(0.75, 1.25)


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    error = _root(error)
    status = status_of(error)
    if status is not None:
        return status in _PASSING
    if isinstance(error, OfflineModeIsEnabled):
        return False
    # No answer at all: refused, dropped, timed out. The Xet client's own failures are bare RuntimeErrors.
    return isinstance(error, HTTPError | ConnectionError | TimeoutError | RuntimeError)


def _root(error: BaseException) -> BaseException:
    """What an upload's RuntimeError or a download's LocalEntryNotFoundError was raised for."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while isinstance(error, RuntimeError | LocalEntryNotFoundError) and error.__cause__:
        error = error.__cause__
    return error


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of the client carries, if it does."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_missing(error: BaseException) -> bool:
    """Whether a repository is not there, or not for this user: a Hub does not tell the two apart."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)


def short(error: BaseException) -> str:
    """What went wrong in a few words, on one line, for notes."""
    error = _root(error)
    status = status_of(error)
    if status is not None:
        said = getattr(error, "server_message", None)
        return f"the Hub answered {status}" + (f" ({_one_line(said)})" if said else "")
    return _one_line(str(error)) or type(error).__name__


def explain(error: BaseException, repo_id: str, *, revision: str | None = None) -> str:
    """One line for people: what failed at `repo_id`, and what to do about it."""
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HTTPError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    error = _root(error)
    status = status_of(error)
    if isinstance(error, OfflineModeIsEnabled):
        return f"{repo_id}: HF_HUB_OFFLINE is set, so the Hub is not asked; unset it"
    if isinstance(error, GatedRepoError):
        return f"{repo_id} is gated: ask for access on its page, then log in with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} has no revision {revision!r}"
    if is_missing(error):
        return f"{repo_id} does not exist, or is private and not yours to see; check the name, or run `hf auth login`"
    if isinstance(error, EntryNotFoundError):
        return f"{repo_id}: {short(error)}"
    if status == 401:
        return f"{repo_id}: the Hub does not accept this token; run `hf auth login` or set HF_TOKEN"
    if status == 403:
        return f"{repo_id}: {short(error)}; the token needs write access to it"
    if status is not None:
        return f"{repo_id}: {short(error)}"
    if isinstance(error, HTTPError | ConnectionError | TimeoutError):
        return f"cannot reach the Hub at {ENDPOINT} ({_one_line(str(error)) or type(error).__name__})"
    return f"{repo_id}: {_one_line(str(error)) or type(error).__name__}"


def expected_errors() -> tuple[type[Exception], ...]:
    """What the Hub client raises for reasons outside this program; anything else is a bug and keeps its traceback."""
    from huggingface_hub.errors import EntryNotFoundError, HTTPError

    # HFValidationError is a ValueError, and so is what the client says when the Hub refuses a card's header.
    return (HTTPError, EntryNotFoundError, OSError, RuntimeError, ValueError)


def hide(text: str, token: str | None) -> str:
    """`text` without any token: neither the one given, nor the user's own, nor what looks like one."""
    from huggingface_hub import get_token

    for known in filter(None, (token, get_token())):
        text = text.replace(known, "hf_***")
    return re.sub(r"\bhf_[A-Za-z0-9]{16,}", "hf_***", text)


def _one_line(text: Any) -> str:
    return hide(" ".join(str(text).split())[:300], None)
