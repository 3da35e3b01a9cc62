"""A fault at each kind of request of a push, by both ways of uploading; the command that is printed finishes it."""

import re
import shlex
import threading
from collections import Counter
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd

from ncfm_hub.localhub.faults import Faults
from tests.publishing.conftest import typed
from tests.publishing.hub.test_published_push import remote_files
from tests.publishing.noise_sets import noise_set, write_folder

Request = tuple[str, int]  # its kind, and its number among those of this kind
_NAMES = re.compile(r"case[0-9]+|[0-9a-f]{40,64}")  # what differs between pushes
STALE = "ipc2/data/train-00000-of-00002.parquet"
UPLOADS = {
    "lfs": {"POST /datasets/ada/NAME.git/info/lfs/objects/batch", "PUT /_lfs/NAME"},
    "xet": {
        "GET /api/datasets/ada/NAME/xet-write-token/main",
        "POST /_cas/v1/xorbs/default/NAME",
        "POST /_cas/v1/shards",
    },
}


class Failing:
    """Notes the requests to the hub and fails one, so that no retry mends it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.begin(None)

    def begin(self, fail: Request | None) -> None:
        self.fail, self.seen, self.counts = fail, [], Counter()

    def take(self, faults: Faults, method: str, path: str) -> int | None:
        kind = f"{method} {_NAMES.sub('NAME', path)}"
        with self.lock:
            self.counts[kind] += 1
            request = (kind, self.counts[kind])
            self.seen.append(request)
        if request != self.fail:
            return None
        return 404 if "xet" in path or "_cas" in path else 501  # Xet's client asks again for minutes after 501


@pytest.fixture
def failing(monkeypatch) -> Failing:
    one = Failing()
    monkeypatch.setattr(Faults, "take", lambda *request: one.take(*request))
    return one


def filled(hub, repo: str, folder: Path) -> None:
    """A repository with an earlier version, one of its files left from a version before, and a file of the user."""
    hub.api().create_repo(repo, repo_type="dataset")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    contents = {**{name: path.read_bytes() for name, path in files.items()}, STALE: b"stale", "notes.txt": b"mine"}
    added = [CommitOperationAdd(name, content) for name, content in contents.items()]
    hub.api().create_commit(repo, added, commit_message="before", repo_type="dataset")


@pytest.mark.slow
@pytest.mark.parametrize("way", UPLOADS)
def test_a_fault_at_each_kind_of_request(hub, here, tmp_path, failing, monkeypatch, way):
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "0" if way == "xet" else "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", way == "lfs")
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    old = write_folder(tmp_path / "old", noise_set(seed=1000))
    requests: list[Request | None] = [None]  # the first push succeeds, and says which there are
    outcomes: Counter[str] = Counter()
    for number, request in enumerate(requests):
        # Each of other images: what a hub or its client knows is not sent again.
        repo, folder = f"ada/case{number}", write_folder(tmp_path / f"set {number}", noise_set(seed=number))
        failing.begin(None)
        filled(hub, repo, old)
        before = remote_files(hub, repo)
        after = before - {STALE}
        failing.begin(request)
        push = shlex.join(["ncfm-hub", "push", str(folder), "--repo-id", repo, "--replace"])
        done = typed(push)
        if request is None:
            requests += [(kind, number) for kind, number in failing.seen if number == 1]
        assert request is None or request in failing.seen, request
        failing.begin(None)
        if done.exit_code == 0:  # a client may do without the answer
            outcomes["went on"] += request is not None
        else:
            line = done.stderr.splitlines()[-1]
            assert line.startswith("Error: ")
            assert line.endswith(push)
            published = remote_files(hub, repo) == after
            assert published or remote_files(hub, repo) == before
            assert ("compare it again with: " in line) == published
            outcomes["published, not compared" if published else "not published"] += 1
            again = typed(line.partition(" again with: ")[2])
            assert again.exit_code == 0, again.stderr
            assert "as load_dataset gives them" in again.stderr
        assert remote_files(hub, repo) == after
        assert {"ipc2/distilled.safetensors", "notes.txt", "README.md"} <= after
    kinds = {kind for kind, _ in filter(None, requests)}
    assert UPLOADS[way] <= kinds
    assert not kinds & UPLOADS["lfs" if way == "xet" else "xet"]
    assert min(outcomes[name] for name in ("not published", "published, not compared")) > 4
