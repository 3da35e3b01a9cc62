"""Asking the Hub who we are and at which commit a dataset stands; its refusals as one readable line."""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from ncfm_hub.errors import SourceError

_CONNECT_SECONDS = 5.0


class NotAvailable(SourceError):
    """A dataset that the Hub has not, or hides, or a Hub that cannot be asked: not one that is merely busy."""


def check_reachable() -> None:
    """SourceError within seconds if the Hub cannot be connected to; the clients themselves would retry for 20 s."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise NotAvailable(
            "HF_HUB_OFFLINE is set, so no dataset can be looked up on the Hub; unset it or name a local folder"
        )
    url = urlsplit(constants.ENDPOINT)
    host = url.hostname or ""
    if urllib.request.getproxies().get(url.scheme) and not urllib.request.proxy_bypass(host):
        return  # only the proxy knows whether the Hub can be reached
    outcome: list[OSError | None] = []
    address = (host, url.port or (443 if url.scheme == "https" else 80))

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
            outcome.append(None)
        except OSError as error:
            outcome.append(error)

    # A thread of its own, because looking up the name of a host has no timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_CONNECT_SECONDS + 1)
    if outcome != [None]:
        why = f" ({outcome[0]})" if outcome else ""
        raise NotAvailable(
            f"cannot reach the Hub at {constants.ENDPOINT}{why}; check the network or name a local folder"
        )


def current_token(token: str | None) -> str | None:
    """The token given, else the one that the Hub's client finds (HF_TOKEN, `hf auth login`)."""
    from huggingface_hub import get_token

    return token or get_token()


def user_name(token: str) -> str:
    """The account that a token belongs to. SourceError if it is refused."""
    from huggingface_hub import HfApi

    check_reachable()
    with hub_errors("the account of the token"):
        return str(HfApi(token=token).whoami()["name"])


def pin(dataset: str, revision: str | None, token: str | None) -> tuple[str, tuple[str, ...]]:
    """The commit (40 hex digits) at which `dataset` stands, or `revision` of it stands, now; and its files.

    Raises SourceError where the dataset or the revision is missing, private, or gated without access.
    """
    from huggingface_hub import HfApi

    check_reachable()
    api = HfApi(token=token)
    with hub_errors(f"dataset {dataset}", revision):
        info = api.dataset_info(dataset, revision=revision)
        if getattr(info, "gated", False):
            api.auth_check(dataset, repo_type="dataset")
    if not info.sha:
        raise SourceError(f"dataset {dataset}: the Hub names no commit of it")
    return info.sha, tuple(sibling.rfilename for sibling in info.siblings or [])


@contextmanager
def quiet_clients() -> Iterator[None]:
    """Keep `datasets` and `huggingface_hub` from drawing bars, logging advice and counting what is opened; as it was
    before, afterwards."""
    import datasets
    import huggingface_hub.utils as hub

    bars = (datasets.is_progress_bar_enabled(), not hub.are_progress_bars_disabled())
    levels = (datasets.logging.get_verbosity(), hub.logging.get_verbosity())
    counts = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # a call to a server of its own, of seconds without a network
    datasets.disable_progress_bars()
    hub.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    hub.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = counts
        datasets.logging.set_verbosity(levels[0])
        hub.logging.set_verbosity(levels[1])
        if bars[0]:
            datasets.enable_progress_bars()
        if bars[1]:
            hub.enable_progress_bars()


@contextmanager
def hub_errors(what: str, revision: str | None = None) -> Iterator[None]:
    """Turn what the Hub's clients raise into a SourceError that names `what` and what to do."""
    from huggingface_hub import constants, errors
    from huggingface_hub.errors import HfHubHTTPError

    # Its base is the HTTPError of whichever httpx the client is built on: lost connections are of that kind.
    transport = tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
    lost: tuple[type[Exception], ...] = (ConnectionError, TimeoutError, *transport)
    where = constants.ENDPOINT
    try:
        yield
    except errors.GatedRepoError as error:
        raise SourceError(
            f"{what} is gated: accept its terms on its page at {where}, then log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise SourceError(
            f"{what} has no revision {revision!r} on {where}; name a branch, a tag or a commit"
        ) from error
    except errors.HFValidationError as error:
        raise SourceError(f"{what}: not a name that the Hub knows; expected owner/name") from error
    except errors.OfflineModeIsEnabled as error:
        raise NotAvailable(f"HF_HUB_OFFLINE is set, so {what} cannot be looked up; unset it") from error
    except HfHubHTTPError as error:
        found = NotAvailable if isinstance(error, errors.RepositoryNotFoundError) else SourceError
        raise found(_explain(error, what, where)) from error
    except lost as error:
        raise SourceError(f"{what}: the connection to {where} failed ({type(error).__name__}); try again") from error


def _explain(error: Exception, what: str, where: str) -> str:
    from huggingface_hub.errors import RepositoryNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    if "Invalid credentials" in str(error) or (status == 401 and not isinstance(error, RepositoryNotFoundError)):
        return f"{what}: {where} refused the token; log in with `hf auth login`, or mend or unset HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        return f"{what} is not on {where}, or is private: check the name, or log in with `hf auth login`"
    if status == 403:
        return f"{what}: the token has no right to it; log in with `hf auth login` as a user who has"
    return f"{what}: {where} answered {status or type(error).__name__}; try again later"
