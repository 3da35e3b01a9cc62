"""Commits: first which files are large, then the operations, one JSON object per line."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response

from ncfm_hub.localhub import names, trees
from ncfm_hub.localhub.access import may_commit
from ncfm_hub.localhub.history import Change
from ncfm_hub.localhub.large_files import is_large
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.web import Body, Call, Route, member, parse_json

_LONGEST_LINE = 32 << 20  # a small file in base64
_MOST_BYTES = 1 << 30
_MOST_OPERATIONS = 100_000  # four times the Hub's recommendation; held in memory


def preupload(call: Call) -> Response:
    """Return, for each announced file, whether to upload it as a large file, and the hash of its current content."""
    repo, account = may_commit(call)
    oid = call.hub.history.resolve(repo.id, call.params["rev"])
    tree = call.hub.history.tree(repo.id, oid)
    answers = []
    for item in member(call.json(), "files", list):
        if not isinstance(item, dict):
            raise HubError(400, "'files' must be a list of objects")
        path = names.file_path(member(item, "path", str))
        sample = _decoded(member(item, "sample", str, ""))
        size = member(item, "size", int)
        large = is_large(path, size, sample)
        if large:
            call.hub.announced.note(account.name, size)
        answer: dict[str, Any] = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if path in tree:
            answer["oid"] = tree[path].sha256 or tree[path].oid
        answers.append(answer)
    return JSONResponse({"files": answers, "commitOid": oid})


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise HubError(400, "Invalid base64") from None


def commit(call: Call) -> Response:
    """Create a commit on a branch, or in a new pull request, from a header and any number of operations."""
    repo, account = may_commit(call)
    assert call.upload is not None
    header: dict[str, Any] | None = None
    operations: list[trees.Operation] = []
    for key, value in _lines(call.upload.path):
        if header is None:
            if key != "header":
                raise HubError(400, "The first line of a commit must be its header")
            header = value
        else:
            operations.append(_operation(call, account.name, key, value))
            if len(operations) > _MOST_OPERATIONS:
                raise HubError(413, f"A commit has at most {_MOST_OPERATIONS:,} operations")
    if header is None:
        raise HubError(400, "The commit is empty")
    parent = member(header, "parentCommit", str, "") or None
    if parent and not re.fullmatch(r"[0-9a-f]{7,40}", parent):
        raise HubError(400, "'parentCommit' must be a commit id")
    title, body = member(header, "summary", str, ""), member(header, "description", str, "")
    change = Change(operations, title, body, account.name)
    page, answer = f"{call.base_url}/{repo.page}", {"success": True, "hookOutput": ""}
    if call.flag("create_pr"):
        if call.params["rev"] != "main":
            raise HubError(400, "A pull request is opened against main")
        number, oid = call.hub.pulls.propose(repo.id, change, parent)
        answer["pullRequestUrl"] = f"{page}/discussions/{number}"
    else:
        oid = call.hub.history.commit(repo.id, call.params["rev"], change, parent)
    return JSONResponse({**answer, "commitOid": oid, "commitUrl": f"{page}/commit/{oid}"})


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and value of each line, with one line in memory at a time."""
    with open(path, "rb") as handle:
        while line := handle.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise HubError(413, "A file inside a commit is too large; upload it as a large file")
            if line.strip():
                item = parse_json(line)
                yield member(item, "key", str), member(item, "value", dict)


def _operation(call: Call, user: str, key: str, value: dict[str, Any]) -> trees.Operation:
    path = member(value, "path", str)
    if key == "deletedFolder":
        return trees.Delete(names.file_path(path.rstrip("/")), folder=True)
    names.file_path(path)
    if key == "deletedFile":
        return trees.Delete(path, folder=False)
    if key == "file":
        content = member(value, "content", str)
        data = _decoded(content) if member(value, "encoding", str, "utf-8") == "base64" else content.encode()
        return trees.Put(path, call.hub.objects.put_blob(data), len(data), None)
    if key == "lfsFile":
        sha256 = names.sha256(member(value, "oid", str))
        place = call.hub.objects.large(sha256)
        if not call.hub.history.may_refer(user, sha256) or not place.is_file():
            raise HubError(400, f"The large file {path} ({sha256}) was not uploaded before the commit")
        return trees.put_large(path, sha256, place.stat().st_size)
    raise HubError(400, f"Unknown operation: {key[:40]!r}")


ROUTES = [
    Route("POST", "api/{kind}/{space}/{name}/preupload/{rev}", preupload, Body.SMALL),
    Route("POST", "api/{kind}/{space}/{name}/commit/{rev}", commit, Body.FILE, _MOST_BYTES, guard=may_commit),
]
