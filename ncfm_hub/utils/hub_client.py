"""Access to the Hub: the client, retries, and error messages of one line."""

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

TRIES = 8  # together they take about as long as the limit in `ncfm_hub.utils.patience`
FIRST_WAIT = FIRST_PAUSE
# 409 and 412: a concurrent commit. 408 and 5xx: the Hub or a proxy was busy.
_PASSING = frozenset({408, 409, 412, 429, 500, 502, 503, 504})


def client(token: str | None) -> "HfApi":
    """Return a Hub client with `token`, else with the stored login."""
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="ncfm-hub")


@contextmanager
def without_bars() -> Iterator[None]:
    """Hide the Hub client's progress bars: the library is silent by default."""
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
    """Call `action` until it succeeds, with growing waits; raises its error if it is permanent or tries run out.

    `action` must be repeatable: after a dropped connection the Hub may have completed it.
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
    """Return whether the error is temporary, so that the same request may succeed later."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    error = _root(error)
    status = status_of(error)
    if status is not None:
        return status in _PASSING
    if isinstance(error, OfflineModeIsEnabled | HubUnavailable):
        return False
    # No response: refused, dropped, timed out.
    return isinstance(error, HTTPError | ConnectionError | TimeoutError)


def cause_of(error: BaseException) -> BaseException | None:
    """Return the Hub client's error inside other libraries' errors; None if there is none."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    found: BaseException | None = error
    while found is not None and not isinstance(found, HTTPError | OfflineModeIsEnabled | HubUnavailable):
        found = found.__cause__
    return found


def _root(error: BaseException) -> BaseException:
    return cause_of(error) or error


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of a client error, if it has one."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_missing(error: BaseException) -> bool:
    """Return whether a repository is missing or not visible to this user, which a Hub does not distinguish."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)


def short(error: BaseException) -> str:
    """Describe an error in a few words on one line, for notes."""
    error = _root(error)
    status = status_of(error)
    if status is not None:
        said = getattr(error, "server_message", None)
        return f"the Hub answered {status}" + (f" ({_one_line(said)})" if said else "")
    return _one_line(str(error)) or type(error).__name__


def explain(error: BaseException, repo_id: str, *, revision: str | None = None) -> str:
    """Describe in one line what failed at `repo_id` and what to do."""
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
    """Describe in one line that a Hub did not respond."""
    from huggingface_hub.constants import ENDPOINT

    reason = _one_line(str(error)) or type(error).__name__
    return f"cannot reach the Hub at {ENDPOINT} ({reason}); check the network and any proxy"


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the errors that the Hub client raises for external reasons; any other is a bug and keeps its traceback."""
    from huggingface_hub.errors import EntryNotFoundError, HTTPError

    # HFValidationError and the error for a rejected card header are both ValueErrors.
    return (HTTPError, EntryNotFoundError, HubUnavailable, OSError, RuntimeError, ValueError)


def hide(text: str, token: str | None) -> str:
    """Remove all tokens from `text`: the given one, the user's own, and anything that looks like one."""
    from huggingface_hub import get_token

    for known in filter(None, (token, get_token())):
        text = text.replace(known, "hf_***")
    return re.sub(r"\bhf_[A-Za-z0-9]{16,}", "hf_***", text)


def _one_line(text: Any) -> str:
    return hide(" ".join(str(text).split())[:300], None)
