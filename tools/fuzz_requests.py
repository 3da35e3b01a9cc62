"""Random and mutated requests to a local hub, as bytes; see `fuzz_localhub.py`.

Half are what a client would send, with values drawn from small pools that have good and bad ones, so that they reach
far. The other half is one of these after one to four mutations of its target, headers, body or framing.
"""

import base64
import hashlib
import json
import random
import string
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "PROPFIND")
KINDS = ("models", "datasets", "spaces")
CONTENT = b"a large file"
HASHES = (hashlib.sha256(CONTENT).hexdigest(), "ab" * 32, "0" * 64, "AB" * 32, "ab" * 31, "../" * 10)
TEXTS = (
    *("", "main", "x", "a.txt", "a/b.bin", "README.md", "../up", "a/../../up", "/etc/passwd", "a\\b", "C:/x"),
    *(".git/config", "nul\0", "new\nline", "é\u202e", "\U0001f4a9", "\ud800", "x" * 300, "x/" * 600, "%2e%2e%2f"),
    *("{}", "null", "-1", "1e9"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1 << 63, -(1 << 70), 10**400, 0.5, float("nan"), float("inf"), [], {}, [[]]),
    *([None], {"path": "a"}, {"a": {"b": []}}, [1, "x"], "file", "lfsFile", "deletedFile", "deletedFolder"),
    *("base64", "private"),
)
HEADERS = (
    *("Range: bytes=0-0", "Range: bytes=5-2", "Range: bytes=-1", "Range: bytes=0-0,1-1,2-9", "Range: lines=1"),
    *("Range: bytes", "If-None-Match: *", "If-Range: x", "Expect: 100-continue", "Upgrade: websocket"),
    *("Accept-Encoding: br", "Cookie: a=b", "Content-Type: text/plain"),
    *("Content-Type: application/x-www-form-urlencoded", "Content-Type: multipart/form-data"),
    *("Content-Encoding: gzip", "X-Amzn-Trace-Id: Root=1", "X-Amzn-Trace-Id: \x7f\xff", "X-Forwarded-Host: evil"),
    *("Host: two", "Authorization: Basic YTpi", "Authorization: Bearer", "Authorization: Bearer \xe9"),
    *("X: " + "y" * 9000, "No colon", " folded", "Content-Length: -1", "Content-Length: 9 9"),
    *("Transfer-Encoding: gzip",),
)
YAML = (
    *("license: mit\ntags: [a, b]", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "<<: {a: 1}", "- a", "? [a]\n: b"),
    *("a: !!int ''", "a: !!float ''", "a: !!timestamp x", "a: !!bool x", "a: !!binary '*'"),
    *("a: !!python/name:os.system", "a: 2001-99-99", "a: .nan", "a: !!set {x, y}", "a: !!omap [b: 1]"),
    *("a: !!pairs [b: 1]", "{" * 200, "a: 0x", "a: 1e400", "a: " + "9" * 5000, "\t", 'a: "\\ud800"', "a: !!null x"),
    *("tags: {a: 1}", "license: [[1]]", "a: !!str [b]", "a: 190:20:30", "a: !!int 0b2", "a: !!map x", "a: 0o9"),
    *("*x",),
)
KEYS = (
    *("name", "type", "organization", "private", "visibility", "fromRepo", "toRepo", "gated", "user", "files"),
    *("path", "sample", "size", "operation", "objects", "oid", "startingPoint", "tag", "content", "paths", "expand"),
    *("fault", "method", "contains", "times"),
)
# Share of parts that are there, and of requests by who may write.
_USUAL = 0.8


@dataclass
class Known:
    """What a client knows of the hub; the runner fills it."""

    host: str
    tokens: Sequence[str]
    spaces: Sequence[str] = ("ada", "bob", "nobody", "..", "a b")
    names: Sequence[str] = ("one", "two", "new", "..", "x.git")
    revisions: Sequence[str] = (
        "main",
        "v1",
        "dev",
        "refs/heads/main",
        "refs%2Fpr%2F1",
        "0" * 40,
        "abcdef0",
        "a b",
        "..",
    )
    paths: Sequence[str] = ("README.md", "a.txt", "folder/b.bin", "folder", "", "none")
    lfs_targets: list[str] = field(default_factory=list)  # with tickets
    tickets: list[str] = field(default_factory=list)  # of Xet uploads


@dataclass(frozen=True)
class Message:
    """A request before it is written as bytes. whole: whether it is complete, so that the server owes an answer."""

    method: str
    target: str
    headers: tuple[str, ...]
    body: bytes
    chunked: bool = False
    cut: float | None = None  # share of the bytes that is sent

    @property
    def whole(self) -> bool:
        return self.cut is None

    def bytes(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", *self.headers]
        body = self.body
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif body:
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8", "surrogatepass") + body
        return data if self.cut is None else data[: int(len(data) * self.cut)]


class Requests:
    """An endless supply of requests to the given routes, the same for the same seed."""

    def __init__(self, seed: int, known: Known, routes: Sequence[tuple[str, str]]):
        self._draw = random.Random(seed)
        self._known = known
        self._routes = routes
        self._bodies: dict[str, Callable[[], bytes]] = {
            "commit": self._commit,
            "validate-yaml": lambda: self._json({"content": f"---\n{self._one(YAML)}\n---\n"}),
            "preupload": lambda: self._json({"files": [self._mapping("path", "sample", "size")]}),
            "batch": lambda: self._json({"operation": "upload", "objects": [{"oid": self._one(HASHES), "size": 3}]}),
            "delete": lambda: self._json({"type": self._one(("dataset", "model")), "name": self._one(("two", "new"))}),
            "move": lambda: self._json({"fromRepo": "ada/new", "toRepo": "ada/two", **self._mapping("type")}),
            "grant": lambda: self._json(self._mapping("user") | {"user": "bob"}),
            "settings": lambda: self._json({"gated": self._one(("auto", "manual", False, None))}),
            "_lfs": lambda: CONTENT,
            "create": lambda: self._json(
                {"name": self._one(self._known.names), "type": self._one(("dataset", "model"))}
            ),
            "xorbs": self._xorb,
            "shards": self._shard,
        }

    def next(self) -> Message:
        """Return the next request."""
        message = self._good()
        if self._draw.random() < 0.5:
            for _ in range(self._draw.randint(1, 4)):
                message = self._one((self._retarget, self._rehead, self._rebody, self._reframe))(message)
        return message

    def _one(self, values: Sequence[Any]) -> Any:
        return self._draw.choice(values)

    def _good(self) -> Message:
        method, pattern = self._one(self._routes)
        target = "/" + "/".join(self._part(part) for part in pattern.split("/"))
        token = self._known.tokens[0] if self._draw.random() < _USUAL else self._one(self._known.tokens)
        if pattern.startswith("_lfs/") and self._known.lfs_targets and self._draw.random() < 0.7:
            target = self._one(self._known.lfs_targets)
        if pattern.startswith("_cas/") and self._known.tickets:
            token = self._one((*self._known.tickets, token))
        if method == "GET" and self._draw.random() < 0.3:
            target += "?" + self._query()
        headers = [f"Host: {self._known.host}", *([f"Authorization: Bearer {token}"] if token else [])]
        if "paths-info" in pattern:
            headers.append("Content-Type: application/json")
        return Message(
            method, target, tuple(headers), self._body(pattern) if method in ("POST", "PUT", "DELETE") else b""
        )

    def _part(self, part: str) -> str:
        pools = {"{kind}": KINDS, "{space}": self._known.spaces, "{name}": self._known.names, "{hash}": HASHES}
        pools |= {"{sha256}": HASHES, "{path*}": self._known.paths, "{rev}": self._known.revisions}
        pools |= {"{num}": ("1", "2", "3", "0", "-1", "1e9")}
        pool = pools.get(part, self._known.revisions if part.startswith("{") else (part,))
        # Mostly the first, which is there.
        return str(pool[0] if part != "{kind}" and self._draw.random() < _USUAL else self._one(pool)).replace(
            " ", "%20"
        )

    def _query(self) -> str:
        names = ("limit", "cursor", "recursive", "expand", "expand[]", "blobs", "author", "search", "filter", "ticket")
        pairs = [(self._one(names), self._one(("", "1", "true", "-1", "9" * 30, "%ff", "%00", "ada", "&", "é", "sha")))]
        return "&".join(f"{name}={value}" for name, value in pairs * self._draw.randint(1, 3))

    def _body(self, pattern: str) -> bytes:
        for word, make in self._bodies.items():
            if word in pattern:
                return make()
        return self._json(self._mapping(*self._draw.sample(KEYS, self._draw.randint(0, 5))))

    def _json(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def _mapping(self, *keys: str) -> dict[str, Any]:
        return {key: self._one(VALUES) if self._draw.random() < 0.3 else self._usual(key) for key in keys}

    def _usual(self, key: str) -> Any:
        if key in ("size", "times"):
            return self._draw.randint(0, 100)
        if key == "type":
            return self._one(("model", "dataset", "space"))
        if key in ("files", "objects", "paths"):
            return [self._one(self._known.paths)]
        if key in ("fromRepo", "toRepo"):
            return f"{self._one(self._known.spaces)}/{self._one(self._known.names)}"
        return self._one((*self._known.paths, *self._known.names, *TEXTS))

    def _commit(self) -> bytes:
        lines = [{"key": "header", "value": self._mapping("summary", "description")}]
        for _ in range(self._draw.randint(0, 4)):
            key = self._one(("file", "file", "file", "lfsFile", "deletedFile", "deletedFolder", "x"))
            value = self._mapping("path")
            if key == "file":
                content = f"---\n{self._one(YAML)}\n---\n".encode("utf-8", "surrogatepass")
                value |= {"content": base64.b64encode(content).decode(), "encoding": "base64"}
            elif key == "lfsFile":
                value |= {"oid": self._one(HASHES), "algo": "sha256", "size": 1}
            lines.append({"key": key, "value": value})
        return b"\n".join(map(self._json, lines))

    def _xorb(self) -> bytes:
        usual = self._draw.random() < _USUAL
        plain = CONTENT if usual else self._draw.randbytes(self._draw.randint(0, 200))
        packing = 0 if usual else self._one((0, 1, 2, 3, 255))
        return struct.pack("<I", len(plain) << 8) + struct.pack("<I", packing | len(plain) << 8) + plain

    def _shard(self) -> bytes:
        head = b"HFRepoMetaData".ljust(32, b"\0") + struct.pack("<QQ", 2, 0)
        block = _swapped(HASHES[0])
        if self._draw.random() < _USUAL:
            count, flags, numbers = 1, 1 << 30, [len(CONTENT), 0, 1]
        else:
            count = self._draw.randint(0, 3)
            flags = self._one((0, 1 << 30, 3 << 30, (1 << 32) - 1))
            numbers = [self._one((0, 1, 2, 100, 1 << 15, (1 << 32) - 1)) for _ in range(3 * count)]
        runs = b"".join(block + struct.pack("<IIII", 0, *numbers[3 * at : 3 * at + 3]) for at in range(count))
        file = self._draw.randbytes(32) + struct.pack("<IIQ", flags, self._one((count, count, count, 1 << 31)), 0)
        return head + file + runs + block + bytes(16) + b"\xff" * 32 + bytes(16)

    def _retarget(self, message: Message) -> Message:
        parts = message.target.split("/")
        at = self._draw.randrange(len(parts))
        odd = (
            "..",
            ".",
            "",
            "%2e%2e",
            "..%2f..",
            "%00",
            "%ff",
            "%",
            "%c0%ae",
            "\\..",
            "~",
            "hub.db",
            "x" * 5000,
            "é",
            "a%20b",
        )
        change = self._draw.randrange(4)
        if change == 0:
            parts[at] = self._one(odd)
        elif change == 1:
            parts.insert(at, self._one(odd))
        elif change == 2:
            del parts[at]
        else:
            parts[at] += self._one(odd) + self._draw.choice(string.printable.strip())
        target = "/".join(parts).replace("\n", "").replace(" ", "%20") or "/"
        return replace(message, target=self._one((target, target, target, "/" + target, "http://evil" + target, "*")))

    def _rehead(self, message: Message) -> Message:
        headers = list(message.headers)
        change = self._draw.randrange(3)
        if change == 0 and headers:
            del headers[self._draw.randrange(len(headers))]
        elif change == 1:
            headers.append(self._one(HEADERS))
        elif headers:
            at = self._draw.randrange(len(headers))
            headers[at] = headers[at][: self._draw.randint(1, len(headers[at]))] + self._one(
                ("", "\x00", "\xff", " ", "@:/")
            )
        return replace(message, headers=tuple(headers))

    def _rebody(self, message: Message) -> Message:
        body = bytearray(message.body)
        change = self._draw.randrange(5)
        if change == 0 or not body:
            body = bytearray(
                self._one((b"", b"null", b"[]", b'{"a":', b"[" * 3000, b"\xff\xfe", b"\x00", self._draw.randbytes(64)))
            )
        elif change == 1:
            del body[self._draw.randrange(len(body)) :]
        elif change == 2:
            body[self._draw.randrange(len(body))] = self._draw.randrange(256)
        elif change == 3:
            body *= 2
        else:
            at = self._draw.randrange(len(body))
            body[at:at] = json.dumps(self._one(VALUES)).encode()
        return replace(message, body=bytes(body))

    def _reframe(self, message: Message) -> Message:
        change = self._draw.randrange(3)
        if change == 0:
            return replace(message, method=self._one(METHODS))
        if change == 1:
            return replace(message, chunked=True)
        return replace(message, cut=self._draw.random())


def _swapped(digest: str) -> bytes:
    """Return a hash as Xet stores it: four little-endian numbers of 64 bits."""
    return b"".join(bytes.fromhex(digest[at : at + 16])[::-1] for at in range(0, 64, 16))
