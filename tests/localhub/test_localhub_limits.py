"""What a local hub does at its limits: odd texts in errors, a full disk, uploads that unfold to more than they say."""

import errno
import hashlib
import io
import json
import os
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from ncfm_hub.localhub import running
from ncfm_hub.localhub.database import Database
from ncfm_hub.localhub.server import _bound
from tests.localhub.conftest import USERS, Server

REPO = "/api/datasets/ada/limits"
BLOCK = "ab" * 32


@pytest.fixture(scope="module", autouse=True)
def repo(server: Server) -> None:
    assert server.raw("POST", "/api/repos/create", {"name": "limits", "type": "dataset"}).status == 200


@pytest.mark.parametrize(
    "name", ["nope%20", "%20nope", "n%C2%A0", "n%E2%80%A8", "%C3%A9", "%F0%9F%92%A9", "x" * 700 + "%20y"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_missing_is_told_whatever_its_name(server: Server, method: str, name: str) -> None:
    answer = server.raw(method, f"/datasets/ada/limits/resolve/main/{name}")
    assert answer.status in (400, 404)
    assert answer.headers["x-error-message"] == answer.headers["x-error-message"].strip()


@pytest.mark.parametrize("text", ["a\t", "a\x01", "\r\nX-Evil: 1", "a\x7f", "é ", " ", "\x85", "a" * 499 + " b"])
def test_errors_name_any_text(server: Server, text: str) -> None:
    answer = server.raw("POST", f"{REPO}/commit/main", _lines(("header", {}), ("deletedFile", {"path": text})))
    assert 400 <= answer.status < 500
    assert "x-evil" not in answer.headers


def _lines(*operations: tuple[str, Any]) -> bytes:
    return b"".join(json.dumps({"key": key, "value": value}).encode() + b"\n" for key, value in operations)


@pytest.fixture
def full(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file in the hub's folder can be made longer, or moved to where it stays."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ncfm_hub.localhub.objects.os.fsync", refuse)


def _announce(server: Server, size: int) -> None:
    files = [{"path": "a.bin", "size": size}]
    assert server.raw("POST", f"{REPO}/preupload/main", {"files": files}).status == 200


def _address(server: Server, data: bytes) -> str:
    item = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    answer = server.raw(
        "POST", "/datasets/ada/limits.git/info/lfs/objects/batch", {"operation": "upload", "objects": [item]}
    )
    return str(answer.json()["objects"][0]["actions"]["upload"]["href"]).removeprefix(server.hub.url)


def _ticket(server: Server) -> str:
    return str(server.raw("GET", f"{REPO}/xet-write-token/main").json()["accessToken"])


def _chunk(plain: bytes) -> bytes:
    packed = lz4.frame.compress(plain)
    return struct.pack("<I", len(packed) << 8) + struct.pack("<I", 1 | len(plain) << 8) + packed


def _hash(text: str) -> bytes:
    return b"".join(int(text[at : at + 16], 16).to_bytes(8, "little") for at in range(0, 64, 16))


def _shard(sha256: str, runs: list[tuple[int, int, int]]) -> bytes:
    """Of one file from runs (plain size, first chunk, end) of the one block."""
    head = b"HFRepoMetaData".ljust(32, b"\0") + struct.pack("<QQ", 2, 0)
    file = _hash("11" * 32) + struct.pack("<IIQ", 1 << 30, len(runs), 0)
    parts = b"".join(_hash(BLOCK) + struct.pack("<IIII", 0, *run) for run in runs)
    return head + file + parts + _hash(sha256) + bytes(16) + b"\xff" * 32 + bytes(16)


def test_a_full_disk_is_said_at_every_place_that_writes(server: Server, full: None) -> None:
    data = os.urandom(100)
    ticket = _ticket(server)
    small = ("file", {"path": "a.txt", "content": data.hex(), "encoding": "utf-8"})
    answers = [
        server.raw("PUT", _address(server, data), data, token=None),
        server.raw("POST", f"/_cas/v1/xorbs/default/{BLOCK}", _chunk(data), token=ticket),
        server.raw("POST", f"{REPO}/commit/main", _lines(("header", {}), small)),
    ]
    assert [(answer.status, answer.json()["error"]) for answer in answers] == [
        (507, "The disk of the local hub is full")
    ] * 3
    assert not list((server.root / "scratch").iterdir())


def test_a_full_disk_while_a_body_arrives(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncfm_hub.localhub.application.open", _Full, raising=False)
    answer = server.raw("POST", f"/_cas/v1/xorbs/default/{BLOCK}", b"x" * 100, token=_ticket(server))
    assert answer.status == 507
    assert not list((server.root / "scratch").iterdir())


class _Full(io.BytesIO):
    def __init__(self, path: Path, _: str):
        super().__init__()
        path.touch()

    def write(self, _: Any) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[tuple[Server, Database]]:
    """A hub whose database cannot grow."""
    made: list[Database] = []
    before = Database.__init__

    def remembered(database: Database, path: Path) -> None:
        before(database, path)
        made.append(database)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "__init__", remembered)
        with running(tmp_path / "root", USERS) as hub:
            server = Server(hub, tmp_path / "root")
            assert server.raw("POST", "/api/repos/create", {"name": "limits", "type": "dataset"}).status == 200
            yield server, made[0]


def test_a_full_disk_under_the_database(tight: tuple[Server, Database], caplog: pytest.LogCaptureFixture) -> None:
    server, database = tight
    before = server.raw("GET", f"{REPO}/commits/main").json()
    used = database.rows("pragma page_count")[0][0]
    database.rows(f"pragma max_page_count={used}")
    paths = [f"{'long' * 50}/{number}" for number in range(300)]
    many = _lines(("header", {}), *(("file", {"path": path, "content": "x"}) for path in paths))
    assert server.raw("POST", f"{REPO}/commit/main", many).status == 507
    assert "Traceback" not in caplog.text
    assert server.raw("GET", f"{REPO}/commits/main").json() == before
    database.rows("pragma max_page_count=100000")
    assert server.raw("POST", f"{REPO}/commit/main", many).status == 200, "once there is space, the same works"
    assert len(server.raw("GET", f"{REPO}/commits/main").json()) == len(before) + 1


def _refer_to_nothing(database: Database) -> None:
    with database.transaction():
        database.rows("pragma defer_foreign_keys=on")  # looked at when the transaction ends
        database.rows("insert into guest values(99, 'nobody')")


def test_a_commit_that_cannot_be_finished_leaves_no_transaction_open(tmp_path: Path) -> None:
    database = Database(tmp_path / "hub.db")
    with pytest.raises(sqlite3.IntegrityError):
        _refer_to_nothing(database)
    with database.transaction():
        database.rows("insert into setting values('later', 'kept')")
    database.close()
    again = Database(tmp_path / "hub.db")
    assert again.rows("select value from setting where key='later'") == [("kept",)]
    assert again.rows("select * from guest") == []
    again.close()


def _largest_scratch(server: Server, action: Any) -> tuple[Any, int]:
    """The answer, and the most bytes that the scratch folder held meanwhile."""
    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            sizes = [path.stat().st_size for path in (server.root / "scratch").glob("*") if path.exists()]
            most = max(most, sum(sizes))
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        return action(), most
    finally:
        done.set()
        thread.join()


MIB = 1 << 20


@pytest.mark.parametrize(
    "runs",
    [
        [(8 * MIB, 0, 8)] * 75,  # 600 MiB of 33 kB, as the shard says
        [(1000, 0, 8)],  # more than the shard says
        [(0, 0, 0)] * 1000,  # nothing, again and again
        [(1, 2**32 - 2, 2**32 - 1)],
    ],
)
def test_a_file_is_no_larger_than_was_announced(server: Server, runs: list[tuple[int, int, int]]) -> None:
    block = b"".join(_chunk(bytes(MIB)) for _ in range(8))
    assert len(block) < 40_000
    _announce(server, 1000)
    ticket = _ticket(server)
    assert server.raw("POST", f"/_cas/v1/xorbs/default/{BLOCK}", block, token=ticket).status == 200
    shard = _shard(hashlib.sha256(b"none").hexdigest(), runs)
    answer, most = _largest_scratch(server, lambda: server.raw("POST", "/_cas/v1/shards", shard, token=ticket))
    assert answer.status in (400, 413)
    assert most < 3 * MIB
    whole = bytes(8 * MIB)
    _announce(server, len(whole))
    good = _shard(hashlib.sha256(whole).hexdigest(), [(8 * MIB, 0, 8)])
    assert server.raw("POST", "/_cas/v1/shards", good, token=ticket).status == 200


def test_an_upload_is_no_longer_than_was_announced(server: Server) -> None:
    address = _address(server, b"ten bytes!")
    assert server.raw("PUT", address, b"ten bytes! and more", token=None).status == 413
    assert server.raw("PUT", address, b"ten bytes!", token=None).status == 200


def test_a_commit_has_so_many_operations_and_no_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncfm_hub.localhub.routes.commits._MOST_OPERATIONS", 5)
    gone = [("deletedFile", {"path": "a"})]
    assert server.raw("POST", f"{REPO}/commit/main", _lines(("header", {}), *gone * 6)).status == 413
    assert server.raw("POST", f"{REPO}/commit/main", _lines(("header", {}), *gone * 5)).status == 404


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Connections inherit it; asyncio would not set it on a socket that names no protocol."""
    with _bound("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname()):
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
