"""A time-out for every request to a Hub, and one patience for all of them.

The Hub's client waits for ever where it is given no time-out, and every library above it tries again in its own way,
without a word. All of their requests pass through one HTTP client, so that is where `patient` bounds them.
"""

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
WRITE_SECONDS = 60.0  # a Hub may think about a commit for longer than about anything that is read
_BUSY = frozenset({408, 429, 500, 502, 503, 504})  # the Hub, or something before it, may do it a moment later


class _Shared:
    """The patience in use, and by how many; one for the process, as the client is."""

    lock = threading.Lock()
    patience = Patience()
    users = 0
    restore: Callable[[], None]


@contextmanager
def patient(progress: Progress | None = None) -> Iterator[Patience]:
    """Bound all that is asked of a Hub meanwhile, by any thread, and say on `progress` what is waited for.

    May be nested. The Hub client of the process is as it was afterwards.
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
    """Bound the client of the process; returns what undoes it."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http

    factory = _http._GLOBAL_CLIENT_FACTORY  # perhaps the user's own; in public it can be set, but not asked for
    xet = constants.HF_HUB_DISABLE_XET

    def restore() -> None:
        constants.HF_HUB_DISABLE_XET = xet
        set_client_factory(factory)

    # Xet's client makes requests of its own: it waits 5 minutes for each, tries again whatever the status says, without
    # a word, and takes other limits only from the environment of its first use in a process. Without it the same files
    # go over plain HTTP, within the limits here.
    constants.HF_HUB_DISABLE_XET = True
    set_client_factory(partial(_bounded, factory, patience))
    return restore


def _bounded(factory: Callable[[], Any], patience: Patience) -> Any:
    """A client as `factory` makes it, but of patience."""
    try:
        client = factory()
    except (ImportError, ValueError) as error:  # a proxy of a kind that needs another package, or that does not exist
        raise HubUnreachable(f"the proxy that the environment names cannot be used: {error}") from error
    client.send = partial(_send, client.send, patience)
    return client


def _send(send: Callable[..., Any], patience: Patience, request: Any, **options: Any) -> Any:
    """What `client.send` does. What only reads is asked for again while there is patience, whatever else is the
    business of who called."""
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
            # Of HEAD the client knows itself what to do: it may have the file already.
            if request.method != "GET" or not reached or not patience.passes(attempt, f"{what}: {_why(error)}", {}):
                raise
            continue
        if response.status_code not in _BUSY:
            return _watched(response, patience, place) if options.get("stream") else _done(response, patience, place)
        why = f"the Hub answers {response.status_code}"
        patience.failed(place, started, why, reached=True)
        again = reads and patience.passes(attempt, f"{what}: {why}", response.headers)
        if not again:
            hf_raise_for_status(response)  # here, because those who would try again silently only look at the status
        response.close()


def _first(send: Callable[..., Any], request: Any, **options: Any) -> Any:
    """`send` of what reads to a Hub that was never reached, in a thread: looking up a name has no time-out, and each of
    several addresses has its own."""
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
    """Fill in the time-outs that whoever made the request left out, and let none outlast the patience."""
    from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT

    read = HF_HUB_DOWNLOAD_TIMEOUT if request.method in ("GET", "HEAD") else WRITE_SECONDS
    usual = {"connect": CONNECT_SECONDS, "read": read, "write": WRITE_SECONDS, "pool": WRITE_SECONDS}
    given = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {kind: min(given.get(kind) or most, left) for kind, most in usual.items()}


def _done(response: Any, patience: Patience, place: str) -> Any:
    patience.succeeded(place)
    return response


def _watched(response: Any, patience: Patience, place: str) -> Any:
    """A response whose body has yet to come: only with its last byte the request has succeeded."""
    read = response.iter_raw

    def iter_raw(chunk_size: int | None = None) -> Iterator[bytes]:
        started = time.monotonic()
        try:
            for part in read(chunk_size):
                if response.status_code == 206:  # what was asked for is the rest: this is progress
                    patience.succeeded(place)
                started = time.monotonic()
                yield part
        except _http_library().TransportError as error:
            _failed(patience, place, started, error)
            raise
        except GeneratorExit:  # the rest is not wanted
            patience.succeeded(place)
            raise
        patience.succeeded(place)

    response.iter_raw = iter_raw
    return response


def _failed(patience: Patience, place: str, started: float, error: Exception) -> bool:
    """Note a failure; whether the Hub was there at all."""
    return patience.failed(place, started, _why(error), reached=not is_unreachable(error))


def is_unreachable(error: BaseException) -> bool:
    """Whether nobody was there to be asked, rather than somebody who did not answer."""
    http = _http_library()
    return isinstance(error, HubUnreachable | http.ConnectError | http.ConnectTimeout | http.ProxyError)


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")


def _http_library() -> Any:
    """The one that the Hub's client is built on; its name differs between versions."""
    from huggingface_hub.errors import HTTPError

    return import_module(HTTPError.__module__.partition(".")[0])
