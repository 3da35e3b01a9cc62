"""Errors of a Hub: which kind one is, and one line that says what failed and what to do."""

import re
from typing import Any

from ncfm_hub.errors import HubUnavailable
from ncfm_hub.utils.patience import unreachable
from ncfm_hub.utils.waiting import is_unreachable

# 409 and 412: a concurrent commit. 408 and 5xx: the Hub or a proxy was busy.
_PASSING = frozenset({408, 409, 412, 429, 500, 502, 503, 504})
_LOG_IN = "log in with `hf auth login`"


def explain(error: BaseException, what: str | None = None, *, revision: str | None = None) -> str:
    """Describe in one line what failed at `what` and what to do.

    what: the repository, or None for the one that the error names
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError

    error = _root(error)
    what = what or getattr(error, "repo_id", None) or _address(error)
    named = f"{what}: " if what else ""
    if isinstance(error, HubUnavailable):
        return f"{'' if is_unreachable(error) else named}{error}"
    if line := _known(error, what or "the repository", revision):
        return line
    if status_of(error) is None and isinstance(error, HTTPError | ConnectionError | TimeoutError):
        return f"{'' if is_unreachable(error) else named}{unreachable(constants.ENDPOINT, short(error))}"
    return f"{named}{short(error)}{'; try again later' if is_passing(error) else ''}"


def _known(error: BaseException, what: str, revision: str | None) -> str | None:
    """Return the line for a kind of error that has its own; the first kind that fits counts."""
    from huggingface_hub import constants, errors

    where = constants.ENDPOINT
    refused = f"{what}: {where} refused the token; {_LOG_IN}, or correct or unset HF_TOKEN"
    missing = f"{what} is not on {where}, or is private: check the name, or {_LOG_IN}"
    kinds = (
        (errors.OfflineModeIsEnabled, f"HF_HUB_OFFLINE is set, so the Hub is not asked for {what}; unset it"),
        (errors.LocalTokenNotFoundError, f"{what}: no token found; {_LOG_IN}, or set HF_TOKEN"),
        (errors.HFValidationError, f"{what} is not a valid repository id ({short(error)}); expected owner/name"),
        (errors.GatedRepoError, f"{what} is gated: accept its terms on its page at {where}, then {_LOG_IN}"),
        (errors.DisabledRepoError, f"{what} has been disabled by {where}: its page says why"),
        (
            errors.RevisionNotFoundError,
            f"{what} has no {_named(revision)} on {where}; name a branch, a tag or a commit",
        ),
        (errors.EntryNotFoundError, f"{what}: {short(error)}"),
        (errors.RepositoryNotFoundError, missing),
    )
    statuses = {
        401: refused,
        403: f"{what}: {short(error)}; use a token with access to it (a push needs write access), or {_LOG_IN}",
        404: missing,
    }
    if "Invalid credentials" in str(error):  # a Hub may call the repository missing at the same time
        return refused
    return next((line for kind, line in kinds if isinstance(error, kind)), statuses.get(status_of(error) or 0))


def _named(revision: str | None) -> str:
    return f"revision {revision!r}" if revision else "such revision"


def _address(error: BaseException) -> str | None:
    url = getattr(getattr(error, "response", None), "url", None)
    return str(url) if url else None


def short(error: BaseException) -> str:
    """Describe an error in a few words on one line, for notes."""
    error = _root(error)
    status = status_of(error)
    if status is not None:
        said = getattr(error, "server_message", None)
        return f"the Hub answered {status}" + (f" ({_one_line(said)})" if said else "")
    return _one_line(str(error)) or type(error).__name__


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


def is_lost_answer(error: BaseException, path: str) -> bool:
    """Return whether a request with `path` in its address got no answer, so that it may have been done."""
    error = _root(error)
    try:
        asked = str(error.request.url)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # the latter from the HTTP library, for an error of no request
        return False
    return is_passing(error) and status_of(error) is None and path in asked


def is_missing(error: BaseException) -> bool:
    """Return whether a repository is missing or not visible to this user, which a Hub does not distinguish."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)


def cause_of(error: BaseException) -> BaseException | None:
    """Return the Hub client's error inside other libraries' errors; None if there is none."""
    from huggingface_hub.errors import HFValidationError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    kinds = (HTTPError, OfflineModeIsEnabled, HubUnavailable, HFValidationError, LocalTokenNotFoundError)
    found: BaseException | None = error
    while found is not None and not isinstance(found, kinds):
        found = found.__cause__
    return found


def _root(error: BaseException) -> BaseException:
    return cause_of(error) or error


def response_headers(error: BaseException) -> Any:
    """Return the headers of the Hub's answer; empty if there was none."""
    return getattr(getattr(_root(error), "response", None), "headers", {})


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of a client error, if it has one."""
    return getattr(getattr(error, "response", None), "status_code", None)


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
