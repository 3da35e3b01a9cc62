"""A local hub that a whole module shares, real clients in processes of their own, and requests as bytes on a socket."""

import contextlib
import http.client
import inspect
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ncfm_hub.localhub import Hub, User, running
from tests.children import run_python

USERS = (
    User("ada", "ada-may-write", "write"),
    User("ada", "ada-may-read", "read"),
    User("bob", "bob-may-write", "write"),
)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A hub with the users `ada` (a writing and a reading token) and `bob` (writing), and where it keeps its files."""

    hub: Hub
    root: Path

    def raw(
        self, method: str, path: str, body: Any = None, token: str | None = "ada-may-write", **headers: str
    ) -> Reply:
        """A request exactly as given: no client tidies the path or the body. Objects are sent as JSON."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(http.client.HTTPConnection(self.hub.url.removeprefix("http://"), timeout=60)) as line:
            line.request(method, path, data, headers)
            answer = line.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("localhub") / "root"
    with running(root, USERS, allow_faults=True) as hub:
        yield Server(hub, root)


Client = Callable[..., Any]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Run a self-contained function in a new Python with its own HF_HOME: client(url, token, function, *arguments).

    Arguments and result travel as JSON. The libraries read HF_ENDPOINT when imported, hence the new process.
    """

    def run(url: str, token: str | None, function: Callable[..., Any], *arguments: Any, **env: str) -> Any:
        head = "from __future__ import annotations\nimport json, sys\nfrom typing import Any\n"
        call = f"print('\\n' + json.dumps({function.__name__}(*json.loads(sys.argv[1]))))"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        home = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": url, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        home |= {"HOME": str(tmp_path), "NO_PROXY": "*"} | ({"HF_TOKEN": token} if token else {})
        code = head + inspect.getsource(function) + call
        done = run_python(["-c", code, json.dumps(arguments)], kept | home | env, tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
