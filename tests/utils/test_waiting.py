"""A Hub that hangs, stops, fails or is missing is waited for within limits, and that is reported."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest

from ncfm_hub.errors import HubUnavailable
from ncfm_hub.utils import hub_client as talking
from ncfm_hub.utils import patience as bearing
from ncfm_hub.utils import waiting
from ncfm_hub.utils.progress import Silent
from ncfm_hub.utils.waiting import patient

SECOND = 1.0


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds for minutes, and no Hub reached before."""
    monkeypatch.setattr(bearing, "CEILING", 1.2)
    monkeypatch.setattr(bearing, "NOTE_SECONDS", 0.1)
    monkeypatch.setattr(bearing, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(bearing, "_reached", set())
    monkeypatch.setattr(waiting, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr(talking, "FIRST_WAIT", 0.1)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


Answer = Callable[[socket.socket, bytes], None]


@contextlib.contextmanager
def stub(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A server that hands each request's head to `answer`; its address, and the heads of all requests."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def one(line: socket.socket) -> None:
            with line, contextlib.suppress(OSError):
                heads.append(line.recv(4096))
                answer(line, heads[-1])

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heads
        listening.shutdown(socket.SHUT_RDWR)


def hang(line: socket.socket, head: bytes) -> None:
    time.sleep(10)


def says(status: str, *headers: str, body: bytes = b"{}") -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return lambda line, head: line.sendall("\r\n".join(lines).encode() + body)


def api(url: str) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=url, token="hf_token")


def took(action: Callable[[], Any], error: type[BaseException], match: str | None = None) -> float:
    started = time.monotonic()
    with pytest.raises(error, match=match):
        action()
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize("call", ["whoami", "info", "file", "snapshot", "tree", "commit", "create", "auth"])
def test_no_request_is_waited_for_for_ever(call: str, tmp_path: Any) -> None:
    from huggingface_hub import CommitOperationAdd, hf_hub_download, snapshot_download

    notes = Notes()
    with stub(hang) as (url, _), patient(notes):
        calls: dict[str, Callable[[], Any]] = {
            "whoami": api(url).whoami,
            "info": lambda: api(url).dataset_info("ada/x"),
            "file": lambda: hf_hub_download("ada/x", "README.md", endpoint=url, cache_dir=tmp_path),
            "snapshot": lambda: snapshot_download("ada/x", endpoint=url, cache_dir=tmp_path),
            "tree": lambda: list(api(url).list_repo_tree("ada/x")),
            "commit": lambda: api(url).create_commit("ada/x", [CommitOperationAdd("a", b"b")], commit_message="c"),
            "create": lambda: api(url).create_repo("ada/x"),
            "auth": lambda: api(url).auth_check("ada/x"),
        }
        spent = took(calls[call], Exception)
    assert spent < 8 * SECOND
    assert any(f"waiting for {url} to answer: " in line for line in notes.lines)


@pytest.mark.slow
def test_a_download_that_stops_in_the_middle_each_time_is_given_up(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the Hub begins anew each time: such bytes are no progress."""
    from huggingface_hub import hf_hub_download

    monkeypatch.setattr(bearing, "CEILING", 3.0)
    commit = f"X-Repo-Commit: {'0' * 40}"

    def stopping(line: socket.socket, head: bytes) -> None:
        if head.startswith(b"HEAD"):
            head = f'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nETag: "x"\r\n{commit}\r\nConnection: close'.encode()
            return line.sendall(head + b"\r\n\r\n")
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + bytes(1000))
        time.sleep(10)

    with stub(stopping) as (url, heads), patient():
        download = lambda: hf_hub_download("ada/x", "a.bin", endpoint=url, cache_dir=tmp_path)  # noqa: E731
        assert took(download, HubUnavailable, "kept failing for 3 s") < 8 * SECOND
    assert len(heads) > 2
    assert not list(tmp_path.rglob("*.incomplete"))


def test_an_upload_that_nobody_reads_is_given_up() -> None:
    from huggingface_hub import get_session

    with stub(hang) as (url, _), patient():
        upload = lambda: get_session().put(f"{url}/_lfs/x", content=bytes(32 << 20))  # noqa: E731
        assert took(upload, Exception, "timed out") < 4 * SECOND


def test_what_hangs_once_is_asked_again() -> None:
    first: list[bytes] = []

    def once(line: socket.socket, head: bytes) -> None:
        if first:
            return says("200 OK", "Content-Type: application/json", body=b'{"name": "ada"}')(line, head)
        first.append(head)
        hang(line, head)

    notes = Notes()
    with stub(once) as (url, heads), patient(notes):
        assert api(url).whoami() == {"name": "ada"}
    assert len(heads) == 2
    assert any("ReadTimeout" in line and "trying again in" in line for line in notes.lines)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501, 507])
def test_some_answers_are_final_at_once(status: int) -> None:
    with stub(says(f"{status} No")) as (url, heads):
        for ask in (api(url).whoami, lambda: api(url).create_repo("ada/x")):
            heads.clear()
            action = lambda: talking.with_retries(ask, what="asking", progress=Silent())  # noqa: B023, E731
            assert took(action, Exception) < 4 * SECOND
            assert len(heads) == 1


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_busy_hub_is_asked_again_until_patience_is_out(status: int) -> None:
    notes = Notes()
    with stub(says(f"{status} Busy")) as (url, heads), patient(notes):
        assert took(api(url).whoami, Exception, str(status)) < 4 * SECOND
    assert len(heads) > 3
    assert sum("trying again" in line for line in notes.lines) == len(heads) - 1


@pytest.mark.parametrize("header", ["Retry-After: 3600", 'RateLimit: "api";r=0;t=3600'])
def test_a_hub_that_asks_for_longer_than_there_is_patience_is_not_waited_for(header: str) -> None:
    with stub(says("429 Slow", header)) as (url, heads), patient():
        assert took(api(url).whoami, Exception, "429") < 4 * SECOND
    assert len(heads) == 1


def test_a_rate_limit_that_is_not_used_up_is_no_reason_to_wait_longer() -> None:
    with stub(says("503 Busy", 'RateLimit: "api";r=7;t=3600')) as (url, heads), patient():
        took(api(url).whoami, Exception, "503")
    assert len(heads) > 3


def test_parts_that_succeed_do_not_prolong_what_fails_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talking, "TRIES", 1000)
    busy = says("503 Busy")
    fine = says("200 OK", "Content-Type: application/json", body=b'{"name": "ada"}')
    with stub(lambda line, head: (busy if head.startswith(b"POST") else fine)(line, head)) as (url, _):

        def action() -> None:
            api(url).whoami()
            api(url).create_repo("ada/x")

        push = lambda: talking.with_retries(action, what="pushing", progress=Silent())  # noqa: E731
        assert took(push, Exception, "503") < 4 * SECOND


def test_no_network_is_said_at_once(tmp_path: Any) -> None:
    from huggingface_hub import hf_hub_download

    with patient():
        nobody = lambda: hf_hub_download("a/x", "y", endpoint="http://127.0.0.1:9", cache_dir=tmp_path)  # noqa: E731
        assert took(nobody, HubUnavailable, "cannot reach the Hub at http://127.0.0.1:9 .*refused") < 8 * SECOND


@pytest.mark.parametrize("where", ["getaddrinfo", "create_connection"])
def test_a_network_that_swallows_everything_is_no_hub(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Looking up a name takes as long as it likes, and each of several addresses its own time."""
    monkeypatch.setattr(waiting, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(socket, where, lambda *_, **__: time.sleep(30))
    with patient():
        assert took(api("http://hub.invalid").whoami, Exception, "no connection in time") < 8 * SECOND


def test_who_is_silent_leaves_it_to_others_to_speak() -> None:
    from click.testing import CliRunner

    from ncfm_hub.cli import _options as options

    def ask(out: Any) -> None:
        with stub(hang) as (url, _):
            push = lambda: talking.with_retries(api(url).whoami, what="asking", progress=Silent())  # noqa: E731
            took(push, Exception)

    result = CliRunner().invoke(click.command()(options.output_option(ask)), [])
    assert result.exit_code == 0, result.output
    assert result.stderr.count("waiting for http://127.0.0.1:") >= 1
    assert "asking: " not in result.stdout


def test_a_hub_that_was_there_is_waited_for_when_it_goes() -> None:
    notes = Notes()
    with stub(says("200 OK", body=b'{"name": "ada"}')) as (url, _), patient():
        api(url).whoami()
    with patient(notes):
        assert took(api(url).whoami, Exception, "refused") > SECOND / 2
    assert any("ConnectError" in line for line in notes.lines)


def test_proxies_are_those_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """ALL_PROXY is heeded, and who is excepted; one that is not there is no reason to wait."""
    answer = says("200 OK", "Content-Type: application/json", body=b'{"name": "ada"}')
    with stub(answer) as (proxy, heads):
        monkeypatch.setenv("ALL_PROXY", proxy)
        with patient():
            assert api("http://hub.invalid").whoami() == {"name": "ada"}
        assert heads[0].startswith(b"GET http://hub.invalid/api/whoami-v2")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with patient():
        assert took(api("http://other.invalid").whoami, Exception, "refused") < 8 * SECOND
    with stub(answer) as (url, _), patient():
        monkeypatch.setenv("NO_PROXY", "example.org,127.0.0.1")
        assert api(url).whoami() == {"name": "ada"}
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with patient():
        assert took(api("http://third.invalid").whoami, HubUnavailable, "the proxy .* cannot be used") < 4 * SECOND


def test_the_client_of_the_process_is_the_users_own_again() -> None:
    import httpx2
    from huggingface_hub import constants, get_session, set_client_factory
    from huggingface_hub.utils import _http

    before, xet = _http._GLOBAL_CLIENT_FACTORY, constants.HF_HUB_DISABLE_XET
    own = lambda: httpx2.Client(headers={"X-Mine": "yes"})  # noqa: E731
    try:
        set_client_factory(own)
        with stub(says("200 OK")) as (url, heads):
            with patient(), patient():
                assert constants.HF_HUB_DISABLE_XET
                get_session().get(url)
            get_session().get(url)
            assert all(b"x-mine: yes" in head.lower() for head in heads)
        assert constants.HF_HUB_DISABLE_XET is xet
        assert _http._GLOBAL_CLIENT_FACTORY is own
        assert "send" not in vars(get_session())
    finally:
        set_client_factory(before)


@pytest.mark.parametrize(("said", "disabled"), [(None, True), ("", True), ("1", True), ("0", False)])
def test_xet_stays_with_users_who_ask_for_it(monkeypatch: pytest.MonkeyPatch, said: str | None, disabled: bool) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_DISABLE_XET", raising=False)
    if said is not None:
        monkeypatch.setenv("HF_HUB_DISABLE_XET", said)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", said == "1")  # as the client read it
    with patient():
        assert constants.HF_HUB_DISABLE_XET is disabled
