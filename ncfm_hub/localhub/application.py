"""The ASGI application: reads a request, runs its route in a thread, and turns errors into responses."""

import contextlib
import errno
import hashlib
import logging
import re
import uuid
from collections.abc import AsyncIterator
from typing import NoReturn

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ncfm_hub.localhub.database import Database
from ncfm_hub.localhub.faults import DROP, DROP_AFTER, HANG, STALL
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.routes import commits, files, lfs, pulls, refs, repos, users, xet
from ncfm_hub.localhub.services import Services
from ncfm_hub.localhub.web import SMALL_BODY, Body, Call, Route, Upload, error_response, find_route

_log = logging.getLogger(__name__)
_ROUTES = [route for part in (users, repos, refs, files, commits, pulls, lfs, xet) for route in part.ROUTES]
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


class Application:
    """Serve one open hub. `scope["state"]["cut"]`, set by the listener, closes the connection at once."""

    def __init__(self, services: Services):
        self._services = services

    @staticmethod
    def addresses() -> list[tuple[str, str]]:
        """Return method and pattern of each route."""
        return [(route.method, route.pattern) for route in _ROUTES]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        if response is None:
            scope["state"]["cut"]()
            return
        trace = request.headers.get("x-amzn-trace-id", "")
        response.headers["X-Request-Id"] = trace if re.fullmatch(r"[\w=;:-]{1,200}", trace, re.A) else uuid.uuid4().hex
        stalls = getattr(request.state, "stalls", False)
        with contextlib.suppress(OSError, ClientDisconnect):  # the client disconnected
            await response(scope, receive, _stalling(send, receive) if stalls else send)

    async def _answer(self, request: Request) -> Response | None:
        """Return the response, or None if an injected fault suppresses it."""
        try:
            call, route = self._call(request)
            if route.guard:
                await run_in_threadpool(route.guard, call)
            async with _body(request, call, route):
                fault = None if call.path == "/_faults" else self._services.faults.take(call.method, call.path)
                if fault == DROP:
                    return None
                if fault == HANG:
                    await _until_gone(request.receive)
                request.state.stalls = fault == STALL
                if isinstance(fault, int):
                    raise HubError(fault, "Injected fault")
                response = await run_in_threadpool(route.handler, call)
                return None if fault == DROP_AFTER else response
        except HubError as error:
            return error_response(error)
        except ClientDisconnect:
            raise
        except Exception as error:
            if Database.is_full(error) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                return error_response(HubError(507, "The disk of the local hub is full"))
            _log.exception("%s %r failed", request.method, request.scope["path"])  # not disclosed to the client
            return error_response(HubError(500, "Internal error of the local hub; see its log"))

    def _call(self, request: Request) -> tuple[Call, Route]:
        host = request.headers.get("host", "")
        if not _HOST.fullmatch(host):
            raise HubError(400, "The request has no valid Host header")
        path = request.scope["raw_path"].split(b"?")[0].decode("latin-1")
        route, params = find_route(_ROUTES, request.method, path)
        base_url = f"{request.scope['scheme']}://{host}"
        query = request.query_params.multi_items()
        return Call(self._services, request.method, path, base_url, request.headers, query, params), route


async def _until_gone(receive: Receive) -> NoReturn:
    """Wait for the client to disconnect."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


def _stalling(send: Send, receive: Receive) -> Send:
    """Send half of the first chunk of a body, and nothing after it."""

    async def stalling(message: Message) -> None:
        body = message.get("body", b"")
        if not body:
            return await send(message)
        await send({**message, "body": body[: len(body) // 2], "more_body": True})
        await _until_gone(receive)

    return stalling


@contextlib.asynccontextmanager
async def _body(request: Request, call: Call, route: Route) -> AsyncIterator[None]:
    """Read the body into the call, in memory or as a temporary file that is removed afterwards."""
    if route.body is Body.SMALL:
        call.data = b"".join([part async for part in _limited(request, SMALL_BODY)])
        yield
    elif route.body is Body.FILE:
        with call.hub.objects.scratch() as path:
            digest, size = hashlib.sha256(), 0
            with open(path, "xb") as handle:
                most = route.most if call.announced is None else min(route.most, call.announced)
                async for part in _limited(request, most):
                    size += handle.write(part)
                    digest.update(part)
            call.upload = Upload(path, size, digest.hexdigest())
            yield
    else:
        yield


async def _limited(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the chunks of a body. Raises HubError (413) after more than `most` bytes."""
    seen = 0
    async for part in request.stream():
        seen += len(part)
        if seen > most:
            raise HubError(413, f"The body is larger than {most:,} bytes")
        yield part
