"""What every conversation with a Hub needs: the client, which failures pass, and one line for those that don't."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ncfm_hub.errors import HubUnavailable
from ncfm_hub.utils.patience import FIRST_PAUSE
from ncfm_hub.utils.progress import Progress
from ncfm_hub.utils.waiting import patient

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RepoType = Literal["dataset", "model"]
T = TypeVar("T")

TRIES = 8  # with the waits between them about as long as a Hub is borne with (`ncfm_hub.utils.patience`)
FIRST_WAIT = FIRST_PAUSE
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
    with patient(progress) as patience, ExitStack() as failing:
        for attempt in range(1, tries + 1):
            try:
                return action()
            except Exception as error:
                if attempt == 1:
                    failing.enter_context(patience.held())
                asked = getattr(getattr(_root(error), "response", None), "headers", {})
                if attempt == tries or not is_passing(error):
                    raise
                if not patience.passes(attempt, f"{what}: {short(error)}", asked, FIRST_WAIT):
                    raise
    raise AssertionError("unreachable: tries is at least 1")


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    error = _root(error)
    status = status_of(error)
    if status is not None:
        return status in _PASSING
    if isinstance(error, OfflineModeIsEnabled | HubUnavailable):
        return False
    # No answer at all: refused, dropped, timed out.
    return isinstance(error, HTTPError | ConnectionError | TimeoutError)


def cause_of(error: BaseException) -> BaseException | None:
    """What the Hub's client raised, below what other libraries wrapped around it; None if it was something else."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    found: BaseException | None = error
    while found is not None and not isinstance(found, HTTPError | OfflineModeIsEnabled | HubUnavailable):
        found = found.__cause__
    return found


def _root(error: BaseException) -> BaseException:
    return cause_of(error) or error


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
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HTTPError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    error = _root(error)
    status = status_of(error)
    if isinstance(error, HubUnavailable):
        return str(error)
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
        return unreachable(error)
    return f"{repo_id}: {_one_line(str(error)) or type(error).__name__}"


def unreachable(error: BaseException) -> str:
    """One line for a Hub that gave no answer at all."""
    from huggingface_hub.constants import ENDPOINT

    reason = _one_line(str(error)) or type(error).__name__
    return f"cannot reach the Hub at {ENDPOINT} ({reason}); check the network and any proxy"


def expected_errors() -> tuple[type[Exception], ...]:
    """What the Hub client raises for reasons outside this program; anything else is a bug and keeps its traceback."""
    from huggingface_hub.errors import EntryNotFoundError, HTTPError

    # HFValidationError is a ValueError, and so is what the client says when the Hub refuses a card's header.
    return (HTTPError, EntryNotFoundError, HubUnavailable, OSError, RuntimeError, ValueError)


def hide(text: str, token: str | None) -> str:
    """`text` without any token: neither the one given, nor the user's own, nor what looks like one."""
    from huggingface_hub import get_token

    for known in filter(None, (token, get_token())):
        text = text.replace(known, "hf_***")
    return re.sub(r"\bhf_[A-Za-z0-9]{16,}", "hf_***", text)


def _one_line(text: Any) -> str:
    return hide(" ".join(str(text).split())[:300], None)
