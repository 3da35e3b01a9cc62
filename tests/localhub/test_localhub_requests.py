"""Requests that no good client sends: paths that try to leave, bodies that are not what they should be, forgeries."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.localhub.conftest import Reply, Server

REPO = "/api/datasets/ada/raw"
ZERO, HASH = "0" * 40, "ab" * 32


@pytest.fixture(scope="module", autouse=True)
def repo(server: Server) -> None:
    assert server.raw("POST", "/api/repos/create", {"name": "raw", "type": "dataset"}).status == 200


def _commit(server: Server, *operations: tuple[str, Any], header: Any = None, token: str = "ada-may-write") -> Reply:
    lines = [("header", header or {"summary": "s"}), *operations]
    body = b"".join(json.dumps({"key": key, "value": value}).encode() + b"\n" for key, value in lines)
    return server.raw("POST", f"{REPO}/commit/main", body, token)


def _file(path: Any, content: bytes = b"x") -> tuple[str, Any]:
    return "file", {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}


def _everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


BAD_PATHS = [
    *("../up", "a/../../up", "/etc/passwd", "a//b", "./a", "a/.", "", "..", "a\\..\\b", "C:/x", ".git/config"),
    *("a/.GIT/hooks/x", "nul\0byte", "new\nline", "a/" + "x" * 256, "x/" * 600 + "x", "\ud800", 7, None, ["a"]),
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=lambda path: repr(path)[:24])
def test_no_commit_takes_a_bad_path(server: Server, path: Any) -> None:
    for operation in (
        _file(path),
        ("lfsFile", {"path": path, "algo": "sha256", "oid": HASH, "size": 1}),
        ("deletedFile", {"path": path}),
        ("deletedFolder", {"path": path}),
    ):
        answer = _commit(server, operation)
        assert answer.status == 400, answer.body
        assert "error" in answer.json()
    upload = {"files": [{"path": path, "sample": "", "size": 1}]}
    assert server.raw("POST", f"{REPO}/preupload/main", upload).status == 400


TRAVERSALS = [
    "/datasets/ada/raw/resolve/main/../../../hub.db",
    "/datasets/ada/raw/resolve/main/..%2f..%2f..%2fhub.db",
    "/datasets/ada/raw/resolve/main/%2e%2e/%2e%2e/hub.db",
    "/datasets/ada/raw/resolve/main/%2fetc%2fpasswd",
    "/datasets/ada/raw/resolve/main//etc/passwd",
    "/datasets/ada/raw/resolve/main/..%5c..%5chub.db",
    "/datasets/ada/raw/resolve/..%2f..%2fhub.db/x",
    "/datasets/..%2f..%2fhub.db/raw/resolve/main/x",
    "/datasets/../../hub.db",
    "/../../../../etc/passwd",
    "/datasets/ada/raw/resolve/main/a%00b",
    "/datasets/ada/raw/resolve/main/%ff%fe",
    "/datasets/ada/raw/resolve/main/%",
    "/api/datasets/ada/raw/tree/main/..%2f..",
    "/api/datasets/ada/raw/tree/..%2fmain",
    "/api/datasets/ada/raw/revision/%2e%2e",
    "/api/datasets/ada/..",
    "/_lfs/../../hub.db",
    "/_cas/v1/xorbs/default/..%2f..%2f..%2fescaped",
    "/",
    "//",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_no_address_leaves_the_folder(server: Server, method: str) -> None:
    beside = server.root.parent / "beside.txt"
    beside.write_text("untouched")
    before = _everything(server.root.parent)
    for path in [*TRAVERSALS, "/datasets/ada/raw/resolve/main/../../../../beside.txt"]:
        answer = server.raw(method, path, b"" if method in ("POST", "PUT") else None)
        assert 400 <= answer.status < 500, (path, answer.status)
        assert method == "HEAD" or "error" in answer.json()
    after = _everything(server.root.parent)
    assert after.keys() == before.keys()
    assert beside.read_text() == "untouched"


def _ticket(server: Server, token: str = "ada-may-write") -> str:
    return str(server.raw("GET", f"{REPO}/xet-write-token/main", token=token).json()["accessToken"])


def _upload_address(server: Server, data: bytes) -> str:
    item = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    body = {"operation": "upload", "objects": [item]}
    answer = server.raw("POST", "/datasets/ada/raw.git/info/lfs/objects/batch", body).json()
    return str(answer["objects"][0]["actions"]["upload"]["href"]).removeprefix(server.hub.url)


def test_uploads_need_their_own_permission(server: Server) -> None:
    address = _upload_address(server, b"content")
    name, ticket = address.split("?ticket=")
    other = hashlib.sha256(b"other").hexdigest()
    xet = _ticket(server)
    refused = [
        server.raw("PUT", name, b"content", token=None),
        server.raw("PUT", f"{name}?ticket={ticket[:-1]}x", b"content"),
        server.raw("PUT", f"{name}?ticket={ticket.split('.')[0]}.", b"content"),
        server.raw("PUT", f"{name}?ticket=%F0%9F%92%A9.x", b"content"),
        server.raw("PUT", f"/_lfs/{other}?ticket={ticket}", b"other"),
        server.raw("PUT", f"{name}?ticket={xet}", b"content"),
        server.raw("POST", f"/_cas/v1/xorbs/default/{HASH}", b"x", token=None),
        server.raw("POST", f"/_cas/v1/xorbs/default/{HASH}", b"x", token="ada-may-write"),
        server.raw("POST", "/_cas/v1/shards", b"x", token=ticket),
    ]
    assert [answer.status for answer in refused] == [401] * len(refused)
    assert server.raw("PUT", address, b"else", token=None).status == 400, "other bytes than announced"
    assert server.raw("PUT", address, b"content", token=None).status == 200
    for path in ("..%2f..%2fescaped", "AB" * 32, "ab" * 31, "..", "%00"):
        assert server.raw("POST", f"/_cas/v1/xorbs/default/{path}", b"x", token=xet).status == 400
    assert list((server.root / "scratch").iterdir()) == []


def test_a_large_file_of_others_cannot_be_taken_by_its_hash(server: Server) -> None:
    secret = b"known only to ada"
    address = _upload_address(server, secret)
    assert server.raw("PUT", address, secret, token=None).status == 200
    operation = ("lfsFile", {"path": "s.bin", "oid": hashlib.sha256(secret).hexdigest()})
    made = server.raw("POST", "/api/repos/create", {"name": "mine", "type": "dataset"}, token="bob-may-write")
    assert made.status == 200
    body = b"".join(
        json.dumps({"key": key, "value": value}).encode() + b"\n" for key, value in (("header", {}), operation)
    )
    taken = server.raw("POST", "/api/datasets/bob/mine/commit/main", body, token="bob-may-write")
    assert taken.status == 400
    assert "not uploaded" in taken.json()["error"]
    assert _commit(server, operation).status == 200
    again = server.raw("POST", "/api/datasets/bob/mine/commit/main", body, token="bob-may-write")
    assert again.status == 200, "ada's repository is public, so bob can read the file anyway"


BODIES: list[tuple[str, str, Any]] = [
    ("POST", "/api/repos/create", b"not json"),
    ("POST", "/api/repos/create", b"[" * 100_000),
    ("POST", "/api/repos/create", b"[]"),
    ("POST", "/api/repos/create", b"\xff\xfe"),
    ("POST", "/api/repos/create", {}),
    ("POST", "/api/repos/create", {"name": 7}),
    ("POST", "/api/repos/create", {"name": "../x"}),
    ("POST", "/api/repos/create", {"name": "a--b"}),
    ("POST", "/api/repos/create", {"name": "x.git"}),
    ("POST", "/api/repos/create", {"name": "x" * 97}),
    ("POST", "/api/repos/create", {"name": "\ud800"}),
    ("POST", "/api/repos/create", {"name": "x", "type": "bucket"}),
    ("POST", "/api/repos/move", {"fromRepo": "ada/raw", "toRepo": "ada", "type": "dataset"}),
    ("POST", "/api/repos/move", {"fromRepo": "ada/raw", "toRepo": "ada/a..b", "type": "dataset"}),
    ("PUT", f"{REPO}/settings", {"visibility": "secret"}),
    ("PUT", f"{REPO}/settings", {"gated": [1]}),
    ("POST", f"{REPO}/user-access-request/grant", {"user": "bob"}),
    ("POST", f"{REPO}/branch/a%2F..%2Fb", {}),
    ("POST", f"{REPO}/branch/{ZERO}", {}),
    ("POST", f"{REPO}/branch/x", {"startingPoint": 3}),
    ("POST", f"{REPO}/tag/main", {"tag": "-x"}),
    ("POST", f"{REPO}/preupload/main", {"files": "x"}),
    ("POST", f"{REPO}/preupload/main", {"files": [1]}),
    ("POST", f"{REPO}/preupload/main", {"files": [{"path": "a", "size": "1"}]}),
    ("POST", f"{REPO}/preupload/main", {"files": [{"path": "a", "size": 1, "sample": "?"}]}),
    ("POST", f"{REPO}/commit/main", b""),
    ("POST", f"{REPO}/commit/main", b'{"key": "file", "value": {}}\n'),
    ("POST", f"{REPO}/commit/main", b'{"key": "header", "value": 3}\n'),
    ("POST", f"{REPO}/commit/main", b'{"key": "header", "value": {"parentCommit": "%"}}\n'),
    ("POST", f"{REPO}/commit/main", b'{"key": "header", "value": {}}\n{"key": "what", "value": {"path": "a"}}'),
    ("POST", f"{REPO}/commit/main", b'{"key": "header", "value": {}}\n{"key": "file", "value": {"path": "a"}}'),
    ("POST", "/datasets/ada/raw.git/info/lfs/objects/batch", {"operation": "download", "objects": []}),
    ("POST", "/datasets/ada/raw.git/info/lfs/objects/batch", {"operation": "upload", "objects": [{"oid": "x"}]}),
    ("POST", f"{REPO}/paths-info/main", b"\xff=\xff&paths"),
    ("POST", "/api/validate-yaml", {"content": "---\na: [\n---\n"}),
    ("POST", "/_faults", {"method": "GET", "contains": "x", "fault": 200}),
    ("GET", f"{REPO}/tree/main?limit=-1", None),
    ("GET", f"{REPO}/tree/main?limit=x&cursor=9999999999999999999999", None),
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
def test_a_bad_request_is_the_clients_fault(server: Server, method: str, path: str, body: Any) -> None:
    answer = server.raw(method, path, body)
    if path.endswith("paths-info/main"):
        assert (answer.status, answer.json()) == (200, []), "paths that do not exist are left out"
    else:
        assert answer.status == 400, (answer.status, answer.body)
        assert answer.json()


def test_wrong_methods_and_unknown_addresses(server: Server) -> None:
    assert server.raw("DELETE", "/api/whoami-v2").status == 405
    assert server.raw("GET", "/api/nothing").status == 404
    assert server.raw("GET", "/_cas/v1/chunks/default/x").status == 404
    assert server.raw("PATCH", REPO).status == 405
    assert server.raw("GET", "/api/whoami-v2", Host="a b/c").status == 400


def test_conflicting_and_repeated_operations(server: Server) -> None:
    assert _commit(server, _file("c/file")).status == 200
    assert _commit(server, _file("c")).status == 400, "c is a folder"
    assert _commit(server, _file("c/file/deeper")).status == 400, "c/file is a file"
    swapped = _commit(server, ("deletedFolder", {"path": "c/"}), _file("c", b"now a file"))
    assert swapped.status == 200
    assert server.raw("GET", "/datasets/ada/raw/resolve/main/c").body == b"now a file"
    assert _commit(server, ("deletedFile", {"path": "c"}), _file("kept")).status == 200
    assert server.raw("HEAD", "/datasets/ada/raw/resolve/main/c").headers["x-error-code"] == "EntryNotFound"
    half = _commit(server, _file("half"), ("deletedFile", {"path": "absent"}))
    assert half.status == 404
    assert server.raw("GET", "/datasets/ada/raw/resolve/main/half").status == 404, "all of a commit or nothing"


def test_downloads_in_ranges(server: Server) -> None:
    content = bytes(range(256)) * 8
    assert _commit(server, _file("r.txt", content), _file("none.txt", b"")).status == 200
    address = "/datasets/ada/raw/resolve/main/r.txt"
    head = server.raw("HEAD", address)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "2048")
    assert head.headers["etag"] == f'"{hashlib.sha1(b"blob 2048" + bytes(1) + content).hexdigest()}"'
    assert head.headers["x-repo-commit"] == server.raw("GET", REPO).json()["sha"]
    part = server.raw("GET", address, Range="bytes=100-199")
    assert (part.status, part.body) == (206, content[100:200])
    assert part.headers["content-range"] == "bytes 100-199/2048"
    assert server.raw("GET", address, Range="bytes=-10").body == content[-10:]
    assert server.raw("GET", address, Range="bytes=2040-").body == content[2040:]
    assert server.raw("GET", address, Range="bytes=5000-").status == 416
    assert server.raw("GET", address, Range="bytes=z").status == 400
    assert server.raw("GET", "/datasets/ada/raw/resolve/main/none.txt").body == b""


def test_long_lists_come_in_pages(server: Server) -> None:
    assert _commit(server, *[_file(f"many/{number:03d}") for number in range(7)]).status == 200
    address, seen = f"{REPO}/tree/main/many?limit=3&recursive=true", []
    for _ in range(3):
        page = server.raw("GET", address)
        seen.append([item["path"] for item in page.json()])
        link = page.headers.get("link", "")
        address = link.partition(">")[0].removeprefix(f"<{server.hub.url}")
    assert [len(page) for page in seen] == [3, 3, 1]
    assert [path for page in seen for path in page] == [f"many/{number:03d}" for number in range(7)]
    assert not link, "the last page has no next one"


def test_a_card_that_is_a_trap_is_no_card(server: Server) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    traps = ["\n".join(lines), "[" * 50_000, "a: 2024-99-99", "- not\n- a mapping", "date: 2024-01-02\nx: .nan"]
    for trap in traps:
        assert _commit(server, _file("README.md", f"---\n{trap}\n---\n".encode())).status == 200
        answer = server.raw("GET", REPO)
        assert answer.status == 200
        assert answer.json()["cardData"] == ({"date": "2024-01-02", "x": None} if "nan" in trap else {})


def test_too_much_is_refused(server: Server) -> None:
    assert server.raw("POST", "/api/validate-yaml", b"x" * (17 << 20)).status == 413
    assert _commit(server, _file("big", bytes(25 << 20))).status == 413


def test_garbage_on_the_socket(server: Server) -> None:
    host, port = server.hub.url.removeprefix("http://").split(":")
    for line in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n", b"GET \xff HTTP/1.1\r\nHost: x\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(line + b"\r\n\r\n")
            assert raw.recv(20)[9:12] in (b"400", b"404")
    assert server.raw("GET", REPO).status == 200


def test_two_make_the_same_repository(server: Server) -> None:
    from concurrent.futures import ThreadPoolExecutor

    body = {"name": "race", "type": "dataset"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.raw("POST", "/api/repos/create", body), range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    assert {answer.json()["url"] for answer in answers} == {f"{server.hub.url}/datasets/ada/race"}


def test_faults_are_off_unless_allowed(tmp_path: Path) -> None:
    import urllib.error

    from ncfm_hub.localhub import running

    with running(tmp_path / "hub") as hub, pytest.raises(urllib.error.HTTPError) as refused:
        hub.inject("GET", "/", 503)
    assert refused.value.code == 404
