"""A push that fails at any request says how to resume, and that works."""

import shlex
from itertools import count

import pytest

from ncfm_hub.localhub.faults import Faults
from ncfm_hub.sources.place import packaged_digits
from tests.publishing.conftest import typed
from tests.publishing.hub.test_published_push import remote_files
from tests.publishing.noise_sets import noise_set, write_folder

_ASKED_BEFORE = 2  # requests before the folder is checked
_AFTERWARDS = 2  # of the requests that read files back: they are alike


class Fault:
    """Makes the hub answer 501, which no retry mends, to the request number `left` from now on.

    met: the request that it was
    """

    def __init__(self) -> None:
        self.left = 0
        self.met: str | None = None

    def set(self, number: int) -> None:
        self.left, self.met = number, None

    def take(self, faults: Faults, method: str, path: str) -> int | None:
        self.left -= 1
        if self.left != 0:
            return None
        self.met = f"{method} {path}"
        return 501


@pytest.fixture
def fault(monkeypatch):
    one = Fault()
    monkeypatch.setattr(Faults, "take", lambda *request: one.take(*request))
    return one


def error_of(result) -> str:
    assert (result.exit_code, result.stdout) == (1, ""), result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    return line


def test_every_request_of_a_push_may_fail_and_the_command_that_is_printed_goes_on(hub, here, tmp_path, fault):
    folder = write_folder(tmp_path / "a set", noise_set())
    met, published = [], 0
    for number in count(1):
        repo = f"ada/case{number}"
        push = shlex.join(["ncfm-hub", "push", str(folder), "--repo-id", repo, "--private", "--replace"])
        fault.set(number)
        line = error_of(typed(push))
        assert fault.met
        met.append(fault.met.replace(repo, "REPO"))
        assert "the Hub answered 501" in line
        assert "--push" not in line
        assert line.endswith(push)
        if hub.api().repo_exists(repo, repo_type="dataset") and remote_files(hub, repo):
            revision = hub.api().repo_info(repo, repo_type="dataset").sha
            assert f"{repo} is published at revision {revision}, compare it again with: " in line
            published += 1
        else:
            assert "push it again with: " in line
            assert (f"{folder} is whole" in line) == (number > _ASKED_BEFORE)
        again = typed(line.partition(" again with: ")[2])
        assert again.exit_code == 0, again.stderr
        assert {"ipc2/distilled.safetensors", "README.md"} < remote_files(hub, repo)
        assert hub.api().repo_info(repo, repo_type="dataset").private
        if published == _AFTERWARDS:
            break
    assert met[0] == "GET /api/whoami-v2"
    for request in ("GET /api/datasets/REPO", "POST /api/repos/create", "POST /api/datasets/REPO/commit/main"):
        assert request in met
    assert "resolve" in met[-1]


def test_the_hub_may_fail_before_a_distillation_begins(here, fault):
    """Asked are who the user is, and what the repository is; both before hours of work."""
    words = ["ncfm-hub", "distill", "--dataset", str(packaged_digits()), "--ipc", "1", "--push", "--dry-run"]
    command = shlex.join(words)
    for number, request in enumerate(("GET /api/whoami-v2", "GET /api/datasets/ada/"), 1):
        fault.set(number)
        line = error_of(typed(command))
        assert fault.met
        assert fault.met.startswith(request)
        assert "--push" not in line
        assert line.endswith("; nothing has been begun, so start the same command again")
        assert "push to    ada/" in typed(command).stdout
