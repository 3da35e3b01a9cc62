"""Time-outs and a shared retry limit for all requests to a Hub.

Without a time-out the Hub client waits forever, and every library above it retries silently in its own way. All their
requests pass through one HTTP client, so this is where `patient` limits them.

The client's own `http_backoff` cannot: it counts tries, not time, waits as long as a Hub asks, says so only in the log,
and most calls (repository info, commit, paths) do not use it.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any

from ncfm_hub.errors import HubUnreachable
from ncfm_hub.utils.patience import Patience, speaking
from ncfm_hub.utils.progress import Progress

CONNECT_SECONDS = 5.0
WRITE_SECONDS = 60.0  # commits take a Hub longer than reads
_BUSY = frozenset({408, 429, 500, 502, 503, 504})  # temporary: the Hub or a proxy is busy


class _Shared:
    """The `Patience` in use and its number of users; one per process, like the client."""

    lock = threading.Lock()
    patience = Patience()
    users = 0
    restore: Callable[[], None]


@contextmanager
def patient(progress: Progress | None = None) -> Iterator[Patience]:
    """Limit all requests to a Hub inside the context, from any thread, and report waiting on `progress`.

    May be nested. The process's Hub client is restored afterwards.
    """
    with _Shared.lock:
        if _Shared.users == 0:
            _Shared.patience = Patience()
            _Shared.restore = _bound_client(_Shared.patience)
        _Shared.users += 1
        patience = _Shared.patience
    try:
        with speaking(progress):
            yield patience
    finally:
        with _Shared.lock:
            _Shared.users -= 1
            if _Shared.users == 0:
                _Shared.restore()


def _bound_client(patience: Patience) -> Callable[[], None]:
    """Limit the process's client; returns a function that undoes it."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http

    factory = _http._GLOBAL_CLIENT_FACTORY  # may be the user's own; the public API can set it but not read it
    xet = constants.HF_HUB_DISABLE_XET

    def restore() -> None:
        constants.HF_HUB_DISABLE_XET = xet
        set_client_factory(factory)

    # Xet's client makes its own requests: it waits 5 minutes for each, retries silently whatever the status,
    # and reads other limits only from the environment, at first use in a process. Without it the same files
    # go over plain HTTP, within the limits here. A user who sets the variable has decided; then it stands.
    if not os.environ.get("HF_HUB_DISABLE_XET"):
        constants.HF_HUB_DISABLE_XET = True
    set_client_factory(partial(_bounded, factory, patience))
    return restore


def _bounded(factory: Callable[[], Any], patience: Patience) -> Any:
    """Return a client as made by `factory`, with these limits."""
    try:
        client = factory()
    except (ImportError, ValueError) as error:  # a proxy type that needs another package, or is unknown
        raise HubUnreachable(f"the proxy that the environment names cannot be used: {error}") from error
    client.send = partial(_send, client.send, patience)
    return client


def _send(send: Callable[..., Any], patience: Patience, request: Any, **options: Any) -> Any:
    """Replace `client.send`. Reads are retried while time is left; everything else is left to the caller."""
    from huggingface_hub.utils import hf_raise_for_status

    place = f"{request.url.scheme}://{request.url.netloc.decode()}"
    what = f"{request.method} {request.url.path}"
    reads = request.method in ("GET", "HEAD")
    for attempt in count(1):
        _set_timeouts(request, patience.check(place))
        started = time.monotonic()
        try:
            with patience.said(f"waiting for {place} to answer: {what}"):
                ask = send if patience.knows(place) or not reads else partial(_first, send)
                response = ask(request, **options)
        except _http_library().TransportError as error:
            reached = _failed(patience, place, started, error)
            # The client handles a failed HEAD itself, since it may have the file already.
            if request.method != "GET" or not reached or not patience.passes(attempt, f"{what}: {_why(error)}", {}):
                raise
            continue
        if response.status_code not in _BUSY:
            return _watched(response, patience, place) if options.get("stream") else _done(response, patience, place)
        why = f"the Hub answers {response.status_code}"
        patience.failed(place, started, why, reached=True)
        again = reads and patience.passes(attempt, f"{what}: {why}", response.headers)
        if not again:
            hf_raise_for_status(response)  # raise here, since callers that retry silently only look at the status
        response.close()


def _first(send: Callable[..., Any], request: Any, **options: Any) -> Any:
    """Send the first read to a Hub in a thread.

    Name lookup has no time-out, and each of several addresses has its own.
    """
    outcome: Future[Any] = Future()

    def ask() -> None:
        try:
            outcome.set_result(send(request, **options))
        except BaseException as error:
            outcome.set_exception(error)

    limits = request.extensions["timeout"]
    threading.Thread(target=copy_context().run, args=(ask,), daemon=True).start()
    try:
        return outcome.result(limits["connect"] + limits["read"])
    except FutureTimeout:
        raise _http_library().ConnectTimeout("no connection in time", request=request) from None


def _set_timeouts(request: Any, left: float) -> None:
    """Set missing time-outs of a request, and let none exceed the time left."""
    from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT

    read = HF_HUB_DOWNLOAD_TIMEOUT if request.method in ("GET", "HEAD") else WRITE_SECONDS
    usual = {"connect": CONNECT_SECONDS, "read": read, "write": WRITE_SECONDS, "pool": WRITE_SECONDS}
    given = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {kind: min(given.get(kind) or most, left) for kind, most in usual.items()}


def _done(response: Any, patience: Patience, place: str) -> Any:
    patience.succeeded(place)
    return response


def _watched(response: Any, patience: Patience, place: str) -> Any:
    """Wrap a response whose body is still to come: the request succeeds only with the last byte."""
    read = response.iter_raw

    def iter_raw(chunk_size: int | None = None) -> Iterator[bytes]:
        started = time.monotonic()
        try:
            for part in read(chunk_size):
                if response.status_code == 206:  # a resumed download, so this is progress
                    patience.succeeded(place)
                started = time.monotonic()
                yield part
        except _http_library().TransportError as error:
            _failed(patience, place, started, error)
            raise
        except GeneratorExit:  # the caller stopped reading
            patience.succeeded(place)
            raise
        patience.succeeded(place)

    response.iter_raw = iter_raw
    return response


def _failed(patience: Patience, place: str, started: float, error: Exception) -> bool:
    """Record a failure; returns whether the Hub was ever reached."""
    return patience.failed(place, started, _why(error), reached=not is_unreachable(error))


def is_unreachable(error: BaseException) -> bool:
    """Return whether no connection was possible, as opposed to no response."""
    http = _http_library()
    return isinstance(error, HubUnreachable | http.ConnectError | http.ConnectTimeout | http.ProxyError)


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")


def _http_library() -> Any:
    """Return the HTTP library under the Hub client; its name differs between versions."""
    from huggingface_hub.errors import HTTPError

    return import_module(HTTPError.__module__.partition(".")[0])
