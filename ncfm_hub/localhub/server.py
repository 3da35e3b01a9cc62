"""Start and stop a local hub."""

import importlib.util
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ncfm_hub.errors import MissingExtra, NcfmHubError
from ncfm_hub.localhub.hub import Hub, Role, User

if TYPE_CHECKING:
    from ncfm_hub.localhub.listener import Listener

_START_SECONDS = 30.0


def serve(
    root: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    users: Sequence[User] | None = None,
    allow_faults: bool = False,
    ready: Callable[[Hub], None] | None = None,
    keep: Sequence[tuple[str, Role]] = (),
) -> None:
    """Serve the hub stored in `root` until SIGINT or SIGTERM.

    users: replaces all users; default: those of the last start
    keep: name and role of additional users whose tokens the hub creates once and stores in files (`User.file`); a lost
        file gets a new token. A hub without users gets a user `local` with write access and a token in `root/token`
    port: 0 for a free one
    ready: called once requests are accepted
    Raises MissingExtra without the extra `localhub`, NcfmHubError if the folder or address is in use or a user is
    invalid.
    """
    with _opened(root, host, port, users, allow_faults, ready or (lambda hub: None), keep) as listener:
        listener.listen_until_signal()


@contextmanager
def running(
    root: Path,
    users: Sequence[User] | None = None,
    allow_faults: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    keep: Sequence[tuple[str, Role]] = (),
) -> Iterator[Hub]:
    """Serve in a thread until the block is left. Arguments and errors as for `serve`."""
    started = threading.Event()
    hubs: list[Hub] = []

    def ready(hub: Hub) -> None:
        hubs.append(hub)
        started.set()

    with _opened(root, host, port, users, allow_faults, ready, keep) as listener:
        thread = threading.Thread(target=listener.listen, name="localhub", daemon=True)
        thread.start()
        try:
            if not started.wait(_START_SECONDS):
                raise NcfmHubError(f"the local hub did not start within {_START_SECONDS:.0f} seconds")
            yield hubs[0]
        finally:
            listener.stop()
            thread.join(_START_SECONDS)


@contextmanager
def _opened(
    root: Path,
    host: str,
    port: int,
    users: Sequence[User] | None,
    allow_faults: bool,
    ready: Callable[[Hub], None],
    keep: Sequence[tuple[str, Role]],
) -> Iterator["Listener"]:
    """Return a hub with its folder open and its address bound, not yet serving."""
    _require_extra()
    from ncfm_hub.localhub.application import Application
    from ncfm_hub.localhub.listener import Listener
    from ncfm_hub.localhub.services import Services

    with _bound(host, port) as bound:
        services = Services(root, allow_faults)
        try:
            if users:
                services.accounts.set_users(users)
            hub = Hub(_url(bound), (*(users or ()), *services.tokens.users(keep)))
            yield Listener(Application(services), bound, lambda: ready(hub))
        finally:
            services.close()


def _require_extra() -> None:
    for package in ("starlette", "uvicorn", "lz4"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "localhub")


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise NcfmHubError(f"cannot listen on {host} port {port}: {error}") from None
    with bound:
        # Accepted connections inherit it. asyncio sets it only on sockets that name their protocol, which this one does
        # not; without it each answer waits 40 ms for an acknowledgement.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield bound


def _url(bound: socket.socket) -> str:
    """Return the address for clients on this machine."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
