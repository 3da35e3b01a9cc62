"""uvicorn without signal handling, and with a way to drop a connection."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ncfm_hub.localhub.application import Application


class _Protocol(H11Protocol):
    """Lets the application close a connection without a response, as a failing network would."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "cut": transport.abort}


class Listener(uvicorn.Server):
    """Serve an application on a bound socket until `stop`."""

    def __init__(self, application: Application, bound: socket.socket, started: Callable[[], None]):
        config = uvicorn.Config(
            application,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=120,  # longer than clients keep idle connections, so that the client closes them
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)
        self._bound = bound
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Notify the caller once requests are accepted."""
        await super().startup(sockets)
        self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Disable uvicorn's handling, which raises the signal again at the end; see `listen_until_signal`."""
        yield

    def listen(self) -> None:
        """Serve until `stop`, in any thread."""
        self.run([self._bound])

    def listen_until_signal(self) -> None:
        """Serve until SIGINT, SIGTERM or `stop`; signals arrive only in the main thread, elsewhere this is `listen`."""
        if threading.current_thread() is not threading.main_thread():
            return self.listen()
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in signals}
        try:
            self.listen()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Finish pending responses (for at most 5 seconds), then stop."""
        self.should_exit = True
