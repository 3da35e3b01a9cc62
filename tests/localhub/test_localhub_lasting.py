"""What lasts: commits through a kill, users through a restart; and that two servers never share a folder."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ncfm_hub.errors import MissingExtra, NcfmHubError
from ncfm_hub.localhub import Hub, User, running, serve

_SERVE = """
import sys
from pathlib import Path
from ncfm_hub.localhub import serve
serve(Path(sys.argv[1]), ready=lambda hub: print(hub.url, hub.token(), flush=True))
print("ended in order")
"""


@contextmanager
def _child(root: Path) -> Iterator[tuple[subprocess.Popen[str], Hub]]:
    """A hub in a process of its own, which the test may kill."""
    child = subprocess.Popen([sys.executable, "-c", _SERVE, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        url, token = child.stdout.readline().split()
        yield child, Hub(url, (User("local", token),))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def _ask(hub: Hub, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    line = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=60)
    line.request(method, path, data, {"Authorization": f"Bearer {hub.token()}"})
    answer = line.getresponse()
    content = answer.read()
    line.close()
    return answer.status, json.loads(content) if content[:1] in (b"{", b"[") else content


def _commit(hub: Hub, key: str, **value: Any) -> tuple[int, Any]:
    lines = ({"key": "header", "value": {"summary": "s"}}, {"key": key, "value": value})
    return _ask(hub, "POST", "/api/models/local/m/commit/main", b"\n".join(json.dumps(line).encode() for line in lines))


def _upload_address(hub: Hub, sha256: str, size: int) -> str:
    body = {"operation": "upload", "objects": [{"oid": sha256, "size": size}]}
    status, answer = _ask(hub, "POST", "/local/m.git/info/lfs/objects/batch", body)
    assert status == 200
    return str(answer["objects"][0]["actions"]["upload"]["href"]).removeprefix(hub.url)


def _peak_memory(process: int) -> int:
    """Bytes at the peak."""
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) * 1024


def _send_slowly(hub: Hub, address: str, parts: Callable[[], Iterator[bytes]], size: int) -> http.client.HTTPConnection:
    line = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=60)
    line.putrequest("PUT", address)
    line.putheader("Content-Length", str(size))
    line.endheaders()
    for part in parts():
        line.send(part)
    return line


def test_a_killed_server_comes_back_with_all_that_was_committed(tmp_path: Path) -> None:
    root, size = tmp_path / "hub", 96 << 20
    block = hashlib.sha256(b"seed").digest() * (1 << 15)  # 1 MiB
    whole = hashlib.sha256(block * (size // len(block))).hexdigest()
    with _child(root) as (child, hub):
        assert _ask(hub, "POST", "/api/repos/create", {"name": "m"})[0] == 200
        before = _peak_memory(child.pid)
        address = _upload_address(hub, whole, size)
        line = _send_slowly(hub, address, lambda: (block for _ in range(size // len(block))), size)
        assert line.getresponse().status == 200
        line.close()
        assert _peak_memory(child.pid) - before < 24 << 20, "a large upload must not be held in memory"
        assert _commit(hub, "lfsFile", path="large.bin", oid=whole)[0] == 200
        assert _commit(hub, "file", path="a.txt", content=base64.b64encode(b"A").decode(), encoding="base64")[0] == 200
        history = _ask(hub, "GET", "/api/models/local/m/commits/main")[1]
        other = hashlib.sha256(block).hexdigest()
        half = _send_slowly(hub, _upload_address(hub, other, len(block)), lambda: iter([block[:-9]]), len(block))
        deadline = time.monotonic() + 20
        while not any(path.stat().st_size for path in (root / "scratch").iterdir()):
            assert time.monotonic() < deadline, "the half upload should be on disk by now"
            time.sleep(0.01)
        child.kill()
        child.wait()
        half.close()
    with _child(root) as (child, again):
        assert again.token() == hub.token()
        assert list((root / "scratch").iterdir()) == []
        assert {path.name for path in (root / "large").rglob("*") if path.is_file()} == {whole}
        assert _ask(again, "GET", "/api/models/local/m/commits/main")[1] == history
        assert _ask(again, "GET", "/local/m/resolve/main/a.txt")[1] == b"A"
        assert hashlib.sha256(_ask(again, "GET", "/local/m/resolve/main/large.bin")[1]).hexdigest() == whole
        assert _commit(again, "lfsFile", path="half.bin", oid=other)[0] == 400
        assert _commit(again, "deletedFile", path="a.txt")[0] == 200, "the next commit goes on where the last ended"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_server_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with _child(tmp_path / "hub") as (child, _):
        child.send_signal(number)
        assert child.wait(20) == 0
        assert child.stdout is not None
        assert child.stdout.read() == "ended in order\n"


def test_the_first_user_and_their_token(tmp_path: Path) -> None:
    root = tmp_path / "hub"
    with running(root) as hub:
        token = hub.token("local")
        assert _ask(hub, "GET", "/api/whoami-v2")[1]["name"] == "local"
    assert (root / "token").read_text() == token + "\n"
    assert (root / "token").stat().st_mode & 0o777 == 0o600
    assert root.stat().st_mode & 0o777 == 0o700
    assert token.encode() not in (root / "hub.db").read_bytes(), "the database holds hashes only"
    assert token not in repr(hub)


def test_users_are_kept_until_others_are_given(tmp_path: Path) -> None:
    root, eve = tmp_path / "hub", User("eve", "eves-token", "read")
    with running(root, [User("ann", "anns-token"), eve]) as hub:
        assert (hub.token(), hub.token("eve")) == ("anns-token", "eves-token")
        with pytest.raises(KeyError):
            hub.token("zoe")
        with pytest.raises(KeyError):
            hub.token("eve", "write")
    with running(root) as hub:
        assert hub.users == (), "tokens given earlier are known by their hashes only"
        kept = Hub(hub.url, (eve,))
        assert _ask(kept, "GET", "/api/whoami-v2")[1]["auth"]["accessToken"]["role"] == "read"
    with running(root, [User("ann", "new-token")]) as hub:
        assert _ask(Hub(hub.url, (eve,)), "GET", "/api/whoami-v2")[0] == 401


@pytest.mark.parametrize(
    "user",
    [User("../x", "t"), User("api", "t"), User("a b", "t"), User("a", ""), User("a", "t t"), User("a", "t", "admin")],  # type: ignore[arg-type]
)
def test_users_that_cannot_work(tmp_path: Path, user: User) -> None:
    with pytest.raises(NcfmHubError) as refused, running(tmp_path / "hub", [user]):
        pass
    assert "\n" not in str(refused.value)


def _role(hub: Hub, user: User) -> tuple[str, str] | None:
    """Name and role that the hub gives to the bearer of a token; None if it lets nobody in with it."""
    status, answer = _ask(Hub(hub.url, (user,)), "GET", "/api/whoami-v2")
    return (answer["name"], answer["auth"]["accessToken"]["role"]) if status == 200 else None


def test_tokens_that_the_hub_makes_lie_in_files_and_last(tmp_path: Path) -> None:
    root, wanted = tmp_path / "hub", [("ada", "write"), ("ada", "read"), ("bob", "read")]
    with running(root, keep=[("ada", "write"), ("ada", "read"), ("bob", "read")]) as hub:
        made = hub.users
        assert [_role(hub, user) for user in made] == wanted
    assert len({user.token for user in made}) == 3
    for user in made:
        assert user.file == root / "tokens" / f"{user.name}-{user.role}"
        assert user.file.read_text() == user.token + "\n"
        assert user.file.stat().st_mode & 0o777 == 0o600
    with running(root) as hub:
        assert set(hub.users) == set(made)
    with running(root, keep=[("eve", "read"), ("ada", "read")]) as hub:
        assert [user.name for user in hub.users[:2]] == ["eve", "ada"]
        assert set(hub.users[1:]) == set(made)


@pytest.mark.parametrize("content", [None, "", "hf_something_else", "\N{SNOWMAN}", "that of another"])
def test_a_token_whose_file_is_lost_ends_and_is_replaced(tmp_path: Path, content: str | None) -> None:
    with running(tmp_path / "hub", keep=[("ada", "read"), ("ada", "write")]) as hub:
        lost, other = hub.users
    assert lost.file is not None
    if content is None:
        lost.file.unlink()
    else:
        lost.file.write_text(content.replace("that of another", other.token), encoding="utf-8")
    with running(tmp_path / "hub") as hub:
        assert hub.token("ada", "write") == other.token
        assert _role(hub, lost) is None
        (found,) = [user for user in hub.users if user.role == "read"]
        assert _role(hub, found) == ("ada", "read")
        assert lost.file.read_text() == found.token + "\n"


def test_a_token_that_was_given_and_one_that_was_made_live_beside_each_other(tmp_path: Path) -> None:
    root, given = tmp_path / "hub", User("ann", "anns-token")
    with running(root, [given], keep=[("ann", "write")]) as hub:
        made = hub.users[1]
        assert hub.users[0] == given
        assert made.token != given.token
    (root / "tokens" / "ann-write").unlink()
    with running(root) as hub:
        assert [user.file for user in hub.users] == [made.file]
        assert (_role(hub, given), _role(hub, made)) == (("ann", "write"), None)
    with running(root, [given]) as hub:
        assert hub.users == (given,), "users that are given are all there are"


@pytest.mark.parametrize(("name", "role"), [("../x", "read"), ("/x", "read"), ("api", "read"), ("", "read"), ("x", "")])
def test_no_token_is_made_before_all_names_are_checked(tmp_path: Path, name: str, role: Any) -> None:
    wanted = [("local", "write"), ("ada", "read"), (name, role)]
    with pytest.raises(NcfmHubError), running(tmp_path / "hub", keep=wanted):
        pass
    assert not [path for path in tmp_path.rglob("*") if "token" in path.name]


@pytest.mark.parametrize("lost", [False, True])
def test_a_folder_made_before_the_hub_noted_whose_tokens_it_keeps(tmp_path: Path, lost: bool) -> None:
    with running(tmp_path) as hub:
        first = hub.users[0]
    _execute(tmp_path, "alter table account drop column kept", "drop table pull", "pragma user_version=1")
    if lost:
        (tmp_path / "token").unlink()
    with running(tmp_path) as hub:
        (user,) = hub.users
        assert (user.name, user.role, user.file) == ("local", "write", tmp_path.resolve() / "token")
        assert (user.token == first.token) is not lost
        assert _role(hub, first) == (None if lost else ("local", "write"))


def test_a_folder_of_a_later_version(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    _execute(tmp_path, "pragma user_version=99")
    with pytest.raises(NcfmHubError, match=r"another version of the local hub \(format 99\)"), running(tmp_path):
        pass


def _execute(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(root / "hub.db", isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def test_one_server_a_folder_and_one_a_port(tmp_path: Path) -> None:
    with running(tmp_path / "hub") as hub:
        with pytest.raises(NcfmHubError, match="in use by another local hub"), running(tmp_path / "hub"):
            pass
        port = int(hub.url.rsplit(":", 1)[1])
        with pytest.raises(NcfmHubError, match=f"cannot listen on 127.0.0.1 port {port}"):
            serve(tmp_path / "other", port=port)
    with running(tmp_path / "hub") as second:
        assert second.url.startswith("http://127.0.0.1:"), "once it has ended, the folder is free again"


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(os.urandom(4096))
    with pytest.raises(NcfmHubError, match=r"hub\.db cannot be used"), running(tmp_path):
        pass
    with (
        pytest.raises(NcfmHubError, match=r"hub\.db cannot be used as the folder of a local hub"),
        running(tmp_path / "hub.db"),
    ):
        pass


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "lz4"])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    with pytest.raises(MissingExtra, match=rf"{package} is not installed; run: pip install 'ncfm-hub\[localhub\]'"):
        serve(tmp_path / "hub")
    assert not (tmp_path / "hub").exists()
