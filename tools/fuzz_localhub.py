"""Send random and mutated requests to a local hub, and check after each that it holds what it promises.

    python tools/fuzz_localhub.py [--requests 10000] [--seed 0] [--docs]

The hub runs in this process, on 127.0.0.1, with a temporary folder as its root. After each request: there is an answer
within ten seconds (a request cut short may also see its connection closed); its status is no 5xx other than 507, a full
disk; the hub has logged no error; it has opened no file outside its root, and nothing beside the root has changed or
is found in the answer. The first request that fails is printed as bytes, and the exit code is 1.

Prints the counts by status; with --docs they go into docs/local-hub.md.
"""

import argparse
import contextlib
import http.client
import json
import logging
import mimetypes
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
sys.dont_write_bytecode = True  # modules imported while a request is answered are no writes of the hub

from fuzz_requests import HASHES, Known, Message, Requests  # noqa: E402

from benchmarks.tables import put_table  # noqa: E402
from ncfm_hub.localhub import Hub, User, running  # noqa: E402
from ncfm_hub.localhub.application import Application  # noqa: E402

SECONDS = 10.0
DOCUMENTED = {507}
SECRET = b"what stands beside the root of the hub"
USERS = (User("ada", "ada-may-write"), User("ada", "ada-may-read", "read"), User("bob", "bob-may-write"))
RENEWED = 250  # requests; after so many, repositories and tickets that were deleted or used are made again
CHANGING = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
}


class Watch(logging.Handler):
    """Collects errors that the hub logs, and files outside its root that its threads open or change."""

    def __init__(self, root: Path):
        super().__init__(logging.WARNING)
        self.found: list[str] = []
        self._root = os.path.realpath(root)
        installed = {sys.prefix, sys.base_prefix, str(ROOT), *sys.path}
        self._readable = tuple(
            os.path.realpath(place) for place in (*installed, *mimetypes.knownfiles, os.devnull) if place
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Note a logged error, or anything with a traceback."""
        if record.levelno >= logging.ERROR or record.exc_info:
            self.found.append(f"logged: {logging.Formatter().format(record)}")

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what the interpreter is about to open or change."""
        if threading.current_thread() is threading.main_thread():  # the client
            return
        if event == "open":
            path, _, flags = arguments
            reads = not (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            self._check(event, path, self._readable if reads else ())
        elif event in CHANGING:
            for path in arguments[:2]:
                self._check(event, path, ())

    def _check(self, event: str, path: Any, also: tuple[str, ...]) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a descriptor, or a mode
        full = os.path.realpath(os.fsdecode(path))
        if not any(full == place or full.startswith(place + os.sep) for place in (self._root, *also)):
            self.found.append(f"{event} of {full}, outside the root")


def exchange(host: str, message: Message) -> tuple[int | None, bytes]:
    """Return status and body of the answer; None if the connection was closed without one.

    Raises TimeoutError if there is neither within SECONDS.
    """
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), timeout=SECONDS) as line:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
            line.sendall(message.bytes())
            if not message.whole:
                line.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(line, method=message.method)
        try:
            answer.begin()
            return answer.status, answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return None, b""


def seeded(hub: Hub, known: Known) -> None:
    """Make what requests refer to, where it is missing: repositories, files, references and tickets."""

    def send(method: str, target: str, body: Any = None) -> Any:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = (f"Host: {known.host}", f"Authorization: Bearer {hub.token('ada', 'write')}")
        _, answer = exchange(known.host, Message(method, target, head, data))
        return json.loads(answer) if answer[:1] == b"{" else {}

    for kind in ("models", "datasets", "spaces"):
        send("POST", "/api/repos/create", {"name": "one", "type": kind.removesuffix("s")})
        files = [{"path": path, "content": "x", "encoding": "utf-8"} for path in ("README.md", "a.txt", "folder/b.bin")]
        lines = [{"key": "header", "value": {"summary": "s"}}, *({"key": "file", "value": file} for file in files)]
        send("POST", f"/api/{kind}/ada/one/commit/main", b"\n".join(json.dumps(line).encode() for line in lines))
        send("POST", f"/api/{kind}/ada/one/tag/main", {"tag": "v1"})
        send("POST", f"/api/{kind}/ada/one/branch/dev")
        send("POST", f"/api/{kind}/ada/one/commit/main?create_pr=1", b'{"key": "header", "value": {"summary": "s"}}')
    wanted = {"operation": "upload", "objects": [{"oid": oid, "size": 60} for oid in HASHES[:2]]}
    batch = send("POST", "/datasets/ada/one.git/info/lfs/objects/batch", wanted)
    actions = [item["actions"] for item in batch.get("objects", ()) if "actions" in item]
    if not known.lfs_targets:  # later there are none for what is uploaded; tickets last
        known.lfs_targets[:] = [action["upload"]["href"].removeprefix(hub.url) for action in actions]
    send("POST", "/api/datasets/ada/one/preupload/main", {"files": [{"path": "x.bin", "size": 1 << 16}]})
    known.tickets[:] = [send("GET", "/api/datasets/ada/one/xet-write-token/main").get("accessToken", "none")]


def beside(root: Path) -> dict[str, Any]:
    """Return what stands beside the root."""
    return {path.name: path.read_bytes() for path in root.parent.iterdir() if path != root}


def fault_of(message: Message, status: int | None, body: bytes, watch: Watch, root: Path) -> str | None:
    """Return what was wrong with an answer, None if nothing was."""
    if status is None and message.whole:
        return "the connection was closed without an answer"
    if status is not None and status >= 500 and status not in DOCUMENTED:
        return f"status {status}: {body[:300]!r}"
    if SECRET in body:
        return "the answer holds bytes from outside the root"
    if beside(root) != {"beside.txt": SECRET}:
        return f"beside the root: {sorted(beside(root))}"
    return watch.found[0] if watch.found else None


def fuzz(requests: int, seed: int) -> Counter[str]:
    """Return the number of answers by status. Raises SystemExit at the first fault."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="ncfm-hub-fuzz-") as folder:
        root = Path(folder) / "root"
        (root.parent / "beside.txt").write_bytes(SECRET)
        watch = Watch(root)
        logging.getLogger().addHandler(watch)
        sys.addaudithook(watch.audit)
        with running(root, USERS) as hub:
            known = Known(hub.url.removeprefix("http://"), (*(user.token for user in USERS), "", "none"))
            supply = Requests(seed, known, Application.addresses())
            for number in range(requests):
                if number % RENEWED == 0:
                    seeded(hub, known)
                message = supply.next()
                try:
                    status, body = exchange(known.host, message)
                    wrong = fault_of(message, status, body, watch, root)
                except (TimeoutError, http.client.HTTPException) as error:
                    wrong, status = f"no valid answer: {type(error).__name__} {error}", None
                if wrong:
                    raise SystemExit(f"request {number} of seed {seed}: {wrong}\n{message.bytes()[:4000]!r}")
                counts[str(status or "closed")] += 1
    return counts


def table(counts: Counter[str], seed: int, seconds: float) -> str:
    """Return the counts in Markdown."""
    total = sum(counts.values())
    lines = [f"| {status} | {counts[status]:,} |" for status in sorted(counts)]
    made = f"`python tools/fuzz_localhub.py --requests {total} --seed {seed}`, {seconds:.0f} s. No fault."
    return "\n".join(["| status | answers |", "| --- | --: |", *lines, "", made])


def main() -> None:
    """Run, print the counts, and put them into the docs if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", action="store_true", help="write the counts into docs/local-hub.md")
    options = parser.parse_args()
    began = time.monotonic()
    counts = fuzz(options.requests, options.seed)
    text = table(counts, options.seed, time.monotonic() - began)
    print(text)
    if options.docs:
        put_table("docs/local-hub.md", "fuzz", text)


if __name__ == "__main__":
    main()
