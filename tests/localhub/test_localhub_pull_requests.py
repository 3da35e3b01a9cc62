"""Pull requests: who may open one, where it is read, and what a merge does to `main`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

    from tests.localhub.conftest import Client, Server

ADA, READER, BOB = "ada-may-write", "ada-may-read", "bob-may-write"


@pytest.fixture
def repo(server: Server, request: pytest.FixtureRequest) -> str:
    """A repository of ada's with two files, one for each test."""
    name = f"ada/{re.sub('[^a-z]+', '-', request.node.name).strip('-')}"
    api = HfApi(server.hub.url, token=ADA)
    api.create_repo(name, repo_type="dataset")
    _commit(api, name, {"a.txt": b"a", "b.txt": b"b"})
    return name


def _commit(api: HfApi, repo: str, files: dict[str, bytes | None], **more: Any) -> CommitInfo:
    operations = [
        CommitOperationDelete(name) if data is None else CommitOperationAdd(name, data) for name, data in files.items()
    ]
    return api.create_commit(repo, operations, **{"commit_message": "change", "repo_type": "dataset", **more})


def _files(api: HfApi, repo: str, tmp_path: Path, revision: str | None = None) -> dict[str, str]:
    folder = Path(api.snapshot_download(repo, repo_type="dataset", revision=revision, cache_dir=tmp_path))
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != ".gitattributes"}


def _status(action: Any, *args: Any, **more: Any) -> int:
    with pytest.raises(HfHubHTTPError) as refused:
        action(*args, **more)
    return refused.value.response.status_code


def test_what_is_proposed_is_read_at_its_reference_until_it_is_merged(
    server: Server, repo: str, tmp_path: Path
) -> None:
    api = HfApi(server.hub.url, token=ADA)
    before = api.dataset_info(repo).sha
    made = _commit(api, repo, {"a.txt": b"new", "c.txt": b"c", "b.txt": None}, create_pr=True)
    assert made.pr_url == f"{server.hub.url}/datasets/{repo}/discussions/1"
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    refs = api.list_repo_refs(repo, repo_type="dataset", include_pull_requests=True)
    assert [(ref.ref, ref.target_commit) for ref in refs.pull_requests or ()] == [("refs/pr/1", made.oid)]
    assert [ref.target_commit for ref in refs.branches] == [before]
    assert api.dataset_info(repo, revision="refs/pr/1").sha == made.oid
    assert _files(api, repo, tmp_path) == {"a.txt": "a", "b.txt": "b"}
    for revision in ("refs/pr/1", made.oid):
        assert _files(api, repo, tmp_path, revision) == {"a.txt": "new", "c.txt": "c"}
    api.merge_pull_request(repo, 1, repo_type="dataset")
    assert _files(api, repo, tmp_path) == {"a.txt": "new", "c.txt": "c"}
    found = api.get_discussion_details(repo, 1, repo_type="dataset")
    assert (found.status, found.target_branch, found.conflicting_files) == ("merged", "refs/heads/main", [])
    history = api.list_repo_commits(repo, repo_type="dataset")
    assert (history[0].title, history[0].commit_id, history[1].commit_id) == (
        "change (#1)",
        found.merge_commit_oid,
        before,
    )
    assert _status(api.merge_pull_request, repo, 1, repo_type="dataset") == 400


def test_pull_requests_are_listed(server: Server, repo: str) -> None:
    api, bob = HfApi(server.hub.url, token=ADA), HfApi(server.hub.url, token=BOB)
    for number, sender in enumerate((api, bob, bob)):
        _commit(sender, repo, {f"{number}.txt": b"x"}, create_pr=True, commit_message=f"file {number}")
    api.merge_pull_request(repo, 2, repo_type="dataset")

    def listed(**more: Any) -> list[tuple[int, str, str]]:
        found = api.get_repo_discussions(repo, repo_type="dataset", **more)
        return [(one.num, one.title, one.status) for one in found if one.is_pull_request]

    assert listed() == [(3, "file 2", "open"), (2, "file 1", "merged"), (1, "file 0", "open")]
    assert [number for number, *_ in listed(discussion_status="closed")] == [2]
    assert [number for number, *_ in listed(discussion_status="open", author="bob")] == [3]
    assert listed(discussion_type="discussion") == []
    assert _status(api.get_discussion_details, repo, 4, repo_type="dataset") == 404


def test_changes_of_main_stay_and_files_changed_on_both_sides_conflict(
    server: Server, repo: str, tmp_path: Path
) -> None:
    api = HfApi(server.hub.url, token=ADA)
    _commit(api, repo, {"a.txt": b"proposed", "b.txt": None}, create_pr=True)
    _commit(api, repo, {"a.txt": b"proposed", "c.txt": b"meanwhile"})  # the same change of a.txt is no conflict
    _commit(api, repo, {"b.txt": b"changed"}, create_pr=True)
    api.merge_pull_request(repo, 1, repo_type="dataset")
    assert _files(api, repo, tmp_path) == {"a.txt": "proposed", "c.txt": "meanwhile"}
    assert api.get_discussion_details(repo, 2, repo_type="dataset").conflicting_files == ["b.txt"]
    head = api.dataset_info(repo).sha
    assert _status(api.merge_pull_request, repo, 2, repo_type="dataset") == 409
    assert api.dataset_info(repo).sha == head


def test_a_pull_request_begins_at_its_parent_and_grows(server: Server, repo: str, tmp_path: Path) -> None:
    api = HfApi(server.hub.url, token=ADA)
    parent = api.dataset_info(repo).sha
    _commit(api, repo, {"c.txt": b"meanwhile"})
    first = _commit(api, repo, {"a.txt": b"one"}, create_pr=True, parent_commit=parent)
    assert _files(api, repo, tmp_path, "refs/pr/1") == {"a.txt": "one", "b.txt": "b"}
    second = _commit(api, repo, {"a.txt": b"two"}, revision="refs/pr/1", parent_commit=first.oid)
    assert _status(_commit, api, repo, {"a.txt": b"three"}, revision="refs/pr/1", parent_commit=first.oid) == 412
    assert _status(_commit, api, repo, {"a.txt": b"three"}, revision="refs/pr/2") == 404
    assert api.dataset_info(repo, revision="refs/pr/1").sha == second.oid
    api.merge_pull_request(repo, 1, repo_type="dataset")
    assert _files(api, repo, tmp_path) == {"a.txt": "two", "b.txt": "b", "c.txt": "meanwhile"}


def test_anyone_who_reads_may_propose_and_the_owner_merges(server: Server, repo: str) -> None:
    api, bob, reader = (HfApi(server.hub.url, token=token) for token in (ADA, BOB, READER))
    assert _status(_commit, bob, repo, {"x.txt": b"x"}) == 403
    assert _commit(bob, repo, {"x.txt": b"x"}, create_pr=True).pr_num == 1
    for sender in (reader, bob):
        assert _status(sender.merge_pull_request, repo, 1, repo_type="dataset") == 403
    assert _status(_commit, reader, repo, {"y.txt": b"y"}, create_pr=True) == 403
    assert _status(_commit, HfApi(server.hub.url, token=False), repo, {"y.txt": b"y"}, create_pr=True) == 401
    assert _commit(bob, repo, {"y.txt": b"y"}, revision="refs/pr/1").pr_url is None
    assert _commit(api, repo, {"z.txt": b"z"}, create_pr=True).pr_num == 2
    assert _status(_commit, bob, repo, {"y.txt": b"y"}, revision="refs/pr/2") == 403
    assert _status(_commit, reader, repo, {"y.txt": b"y"}, revision="refs/pr/2") == 403
    api.update_repo_settings(repo, repo_type="dataset", private=True)
    with pytest.raises(RepositoryNotFoundError):
        _commit(bob, repo, {"y.txt": b"y"}, create_pr=True)


def test_one_is_opened_before_its_commits(server: Server, repo: str, tmp_path: Path) -> None:
    bob = HfApi(server.hub.url, token=BOB)
    opened = bob.create_pull_request(repo, "two files", repo_type="dataset")
    assert (opened.git_reference, opened.title, opened.status, opened.author) == (
        "refs/pr/1",
        "two files",
        "open",
        "bob",
    )
    assert _files(bob, repo, tmp_path, "refs/pr/1") == {"a.txt": "a", "b.txt": "b"}
    for name in ("c.txt", "d.txt"):
        _commit(bob, repo, {name: b"x"}, revision="refs/pr/1")
    HfApi(server.hub.url, token=ADA).merge_pull_request(repo, 1, repo_type="dataset")
    assert set(_files(bob, repo, tmp_path)) == {"a.txt", "b.txt", "c.txt", "d.txt"}
    assert _status(bob.create_discussion, repo, "a question", repo_type="dataset") == 400


def test_none_is_opened_against_another_branch(server: Server, repo: str) -> None:
    api = HfApi(server.hub.url, token=ADA)
    api.create_branch(repo, repo_type="dataset", branch="dev")
    line = b'{"key": "header", "value": {"summary": "s"}}'
    assert server.raw("POST", f"/api/datasets/{repo}/commit/dev?create_pr=1", line).status == 400
    assert server.raw("POST", f"/api/datasets/{repo}/commit/main?create_pr=1", line).status == 200


def _propose_folder(folder: str, repo: str) -> list[Any]:
    from huggingface_hub import HfApi

    made = HfApi().upload_folder(repo_id=repo, repo_type="dataset", folder_path=folder, create_pr=True)
    return [made.pr_revision, HfApi().file_exists(repo, "large.bin", repo_type="dataset", revision=made.pr_revision)]


@pytest.mark.parametrize("env", [{}, {"HF_HUB_DISABLE_XET": "1"}], ids=["xet", "lfs"])
def test_large_files_of_others_arrive(
    server: Server, repo: str, client: Client, tmp_path: Path, env: dict[str, str]
) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "large.bin").write_bytes(bytes(range(256)) * 1000)
    assert client(server.hub.url, BOB, _propose_folder, str(tmp_path / "up"), repo, **env) == ["refs/pr/1", True]
