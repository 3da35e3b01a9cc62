"""Requests as routes see them: route, repository and body."""

import json
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from starlette.responses import JSONResponse, Response

from ncfm_hub.localhub.names import KINDS
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.services import Services

T = TypeVar("T")
_REQUIRED: Any = object()


class Body(Enum):
    """How a request's body is read before the route is called."""

    NONE = "left alone"
    SMALL = "read into memory, at most SMALL_BODY bytes"
    FILE = "written to a temporary file, at most the route's `most` bytes"


SMALL_BODY = 16 << 20


@dataclass(frozen=True)
class Upload:
    """A body on disk, and the SHA-256 of its bytes."""

    path: Path
    size: int
    sha256: str


@dataclass
class Call:
    """A request."""

    hub: Services
    method: str
    path: str  # as sent, still percent-encoded, without the query
    base_url: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    params: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    upload: Upload | None = None
    announced: int | None = None  # upper bound in bytes of a FILE body, if the route's guard knows one

    @property
    def kind(self) -> str:
        """`model`, `dataset` or `space`."""
        return KINDS[self.params["kind"]]

    def argument(self, name: str, default: str = "") -> str:
        """Return a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def flag(self, name: str) -> bool:
        """Return whether a query parameter is true."""
        return self.argument(name).lower() in ("true", "1")

    def number(self, name: str, default: int, most: int) -> int:
        """Return an integer query parameter between 0 and `most`."""
        text = self.argument(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise HubError(400, f"{name} must be an integer, not {text[:40]!r}")
        return min(int(text), most)

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty body is an empty object."""
        return parse_json(self.data or b"{}")


def parse_json(data: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises HubError (400) for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise HubError(400, "The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise HubError(400, "The body must be a JSON object")
    return value


def member(data: dict[str, Any], key: str, kind: type[T], default: T = _REQUIRED) -> T:
    """Return a value of a JSON object, checking its type. Null counts as missing."""
    value = data.get(key)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise HubError(400, f"{key!r} must be a {kind.__name__}")
    if isinstance(value, str):
        _check_text(value)
    return value


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can encode
        raise HubError(400, "Invalid text: not Unicode") from None


def strings(values: Any) -> list[str]:
    """Return a list of texts; a single text becomes a list of one."""
    found = values if isinstance(values, list) else [values]
    for value in found:
        if not isinstance(value, str):
            raise HubError(400, "Expected a list of strings")
        _check_text(value)
    return found


Handler = Callable[[Call], Response]
Guard = Callable[[Call], object]


@dataclass(frozen=True)
class Route:
    """A method, a pattern such as `api/{kind}/{space}/{name}/tree/{rev}/{path*}`, and its handler.

    `{kind}` matches the three kinds of repository, `{x}` one part (decoded, so it may contain a slash), `{x*}` the
    rest, possibly empty. `guard` is called before a FILE body is read, and rejects by raising.
    """

    method: str
    pattern: str
    handler: Handler
    body: Body = Body.NONE
    most: int = 0
    guard: Guard | None = None

    def match(self, parts: Sequence[str]) -> dict[str, str] | None:
        """Return the pattern's variables if the decoded parts of a path match it."""
        wanted = self.pattern.split("/")
        found: dict[str, str] = {}
        for index, want in enumerate(wanted):
            if want.endswith("*}"):
                found[want[1:-2]] = "/".join(parts[index:])
                return found
            if index >= len(parts) or (want == "{kind}" and parts[index] not in KINDS):
                return None
            if want.startswith("{"):
                found[want[1:-1]] = parts[index]
            elif want != parts[index]:
                return None
        return found if len(parts) == len(wanted) else None


def find_route(routes: Sequence[Route], method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the route for a raw path. Raises HubError (400, 404, 405)."""
    try:
        parts = [urllib.parse.unquote(part, errors="strict") for part in path.strip("/").split("/")]
    except UnicodeDecodeError:
        raise HubError(400, "Invalid path: not UTF-8") from None
    if any("\0" in part for part in parts):
        raise HubError(400, "Invalid path")
    if parts[0] not in KINDS and parts[0] != "api" and not parts[0].startswith("_"):
        parts.insert(0, "models")  # model pages have no prefix
    other_method = False
    for route in routes:
        found = route.match(parts)
        if found is not None:
            if route.method == method or (route.method == "GET" and method == "HEAD"):
                return route, found
            other_method = True
    if other_method:
        raise HubError(405, "This address does not support that method")
    raise HubError(404, "The local hub has no such address")


def paged(call: Call, items: Sequence[Any], default: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return one page of a list, with a link to the next one."""
    limit = max(1, call.number("limit", default, default))
    start = call.number("cursor", 0, len(items))
    headers = dict(headers or {})
    if start + limit < len(items):
        query = [(key, value) for key, value in call.query if key != "cursor"] + [("cursor", str(start + limit))]
        headers["Link"] = f'<{call.base_url}{call.path}?{urllib.parse.urlencode(query)}>; rel="next"'
    return JSONResponse(items[start : start + limit], headers=headers)


def error_response(error: HubError) -> JSONResponse:
    """Return the response for a rejected request."""
    line = error.message.encode("ascii", "backslashreplace").decode()
    # May contain client input: headers allow no control characters and no space at either end.
    headers = {"X-Error-Message": re.sub(r"[\x00-\x1f\x7f]", " ", line)[:500].strip(), **error.headers}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message}, error.status, headers)
