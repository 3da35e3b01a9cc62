"""Create, change, list and describe repositories."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from ncfm_hub.localhub import cards, names, trees
from ncfm_hub.localhub.access import caller, may_write_in, readable, sees, singular_kind, visible, writable
from ncfm_hub.localhub.history import Change
from ncfm_hub.localhub.large_files import GIT_ATTRIBUTES
from ncfm_hub.localhub.replies import HubError, repo_not_found
from ncfm_hub.localhub.repositories import Repo
from ncfm_hub.localhub.web import Body, Call, Route, member, paged


def create(call: Call) -> Response:
    """Create a repository in the caller's namespace; 409 with its URL if it exists."""
    data = call.json()
    kind = singular_kind(member(data, "type", str, "model"))
    space = may_write_in(call, member(data, "organization", str, ""))
    name = names.repo_name(member(data, "name", str))
    private = member(data, "visibility", str, "") == "private" or member(data, "private", bool, False)
    attributes = trees.Put(".gitattributes", call.hub.objects.put_blob(GIT_ATTRIBUTES), len(GIT_ATTRIBUTES), None)
    repo = call.hub.repositories.create(
        kind, space, name, private, Change([attributes], "initial commit", "", author=space)
    )
    url = f"{call.base_url}/{names.PREFIXES[kind]}{space}/{name}"
    if repo is None:
        error = f"You already created this {kind} repo: {space}/{name}"
        return JSONResponse({"error": error, "url": url}, 409, {"X-Error-Message": error})
    return JSONResponse({"url": url, "name": repo.full_name, "id": _object_id(repo)})


def delete(call: Call) -> Response:
    """Delete one of the caller's repositories."""
    data = call.json()
    space = may_write_in(call, member(data, "organization", str, ""))
    kind = singular_kind(member(data, "type", str, "model"))
    repo = call.hub.repositories.find(kind, space, member(data, "name", str))
    if repo is None:
        raise repo_not_found(True)
    call.hub.repositories.delete(repo)
    return PlainTextResponse("OK")


def move(call: Call) -> Response:
    """Rename one of the caller's repositories."""
    data = call.json()
    source, target = (member(data, key, str).split("/") for key in ("fromRepo", "toRepo"))
    kind = singular_kind(member(data, "type", str, "model"))
    if len(source) != 2 or len(target) != 2:
        raise HubError(400, "'fromRepo' and 'toRepo' must be of the form user/name")
    space = may_write_in(call, source[0])
    may_write_in(call, target[0])
    repo = call.hub.repositories.find(kind, space, source[1])
    if repo is None:
        raise repo_not_found(True)
    if not call.hub.repositories.rename(repo, names.repo_name(target[1])):
        raise HubError(409, f"{'/'.join(target)} already exists")
    return JSONResponse({})


def change_settings(call: Call) -> Response:
    """Change visibility and gating."""
    repo, _ = writable(call)
    data = call.json()
    visibility = member(data, "visibility", str, "")
    if visibility not in ("", "private", "public"):
        raise HubError(400, f"Unknown visibility: {visibility[:40]!r}")
    gated = data.get("gated")
    if gated not in (None, False, "auto", "manual"):
        raise HubError(400, "'gated' must be auto, manual or false")
    if visibility:
        call.hub.repositories.set_private(repo, visibility == "private")
    if gated is not None:
        call.hub.repositories.set_gated(repo, gated or "")
    return JSONResponse({})


def grant_access(call: Call) -> Response:
    """Grant a user access to the files of a gated repository."""
    repo, _ = writable(call)
    user = member(call.json(), "user", str)
    if not repo.gated:
        raise HubError(400, f"{repo.full_name} is not gated")
    if not call.hub.accounts.exists(user):
        raise HubError(404, f"There is no user {user[:100]!r}")
    call.hub.repositories.admit(repo, user)
    return JSONResponse({})


def check_read(call: Call) -> Response:
    """Return 200 if the caller may read the files."""
    readable(call)
    return JSONResponse({})


def check_write(call: Call) -> Response:
    """Return 200 if the caller may write."""
    writable(call)
    return JSONResponse({})


def info(call: Call) -> Response:
    """Describe a repository at a revision."""
    repo = visible(call)
    found = repo_json(call, repo, call.params.get("rev", "main"), call.flag("blobs"))
    wanted = [value for key, value in call.query if key in ("expand", "expand[]")]
    if wanted:
        found = {key: value for key, value in found.items() if key in ("_id", "id", *wanted)}
    return JSONResponse(found)


def list_repos(call: Call) -> Response:
    """List repositories visible to the caller, by author, part of the name or tags; newest first."""
    account = caller(call)
    author, search = call.argument("author"), call.argument("search").lower()
    tags = {value for key, value in call.query if key == "filter"}
    found = []
    for repo in call.hub.repositories.all(call.kind):
        if sees(repo, account) and author in ("", repo.namespace) and search in repo.full_name.lower():
            described = repo_json(call, repo, "main", blobs=False)
            if tags <= set(described["tags"]):
                found.append(described)
    return paged(call, found, 1000)


def repo_json(call: Call, repo: Repo, revision: str, blobs: bool) -> dict[str, Any]:
    """Return a repository in the Hub's JSON format; with `blobs`, including sizes and hashes of files."""
    oid = call.hub.history.resolve(repo.id, revision)
    tree = call.hub.history.tree(repo.id, oid)
    readme = tree.get("README.md")
    card = _card(call.hub.objects.blob(readme.oid)) if readme and not readme.sha256 else {}
    return {
        "_id": _object_id(repo),
        "id": repo.full_name,
        "author": repo.namespace,
        "sha": oid,
        "lastModified": call.hub.history.commits(repo.id)[oid].date,
        "createdAt": repo.created,
        "private": repo.private,
        "gated": repo.gated or False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": cards.tags(card),
        "cardData": card,
        "siblings": [_sibling(path, tree[path], blobs) for path in sorted(tree)],
        "usedStorage": sum(file.size for file in tree.values()),
    }


def _sibling(path: str, file: trees.File, blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path}
    if blobs:
        entry |= {"size": file.size, "blobId": file.oid}
        if file.sha256:
            entry["lfs"] = trees.lfs_json(file)
    return entry


@lru_cache(maxsize=256)
def _card(path: Path) -> dict[str, Any]:
    """Return a README's header, empty if unreadable; cacheable, since a file of that path never changes."""
    try:
        return cards.parse_header(path.read_text("utf-8", "replace")) or {}
    except cards.CardError:
        return {}


def _object_id(repo: Repo) -> str:
    return hashlib.sha256(f"{repo.kind} {repo.id}".encode()).hexdigest()[:24]


def no_namespace(call: Call) -> Response:
    """Reject ids without a namespace, which only the Hub's oldest repositories have."""
    raise repo_not_found(caller(call) is not None)


ROUTES = [
    Route("POST", "api/repos/create", create, Body.SMALL),
    Route("DELETE", "api/repos/delete", delete, Body.SMALL),
    Route("POST", "api/repos/move", move, Body.SMALL),
    Route("GET", "api/{kind}", list_repos),
    Route("GET", "api/{kind}/{name}", no_namespace),
    Route("GET", "api/{kind}/{name}/revision/{rev}", no_namespace),
    Route("GET", "api/{kind}/{space}/{name}", info),
    Route("GET", "api/{kind}/{space}/{name}/revision/{rev}", info),
    Route("PUT", "api/{kind}/{space}/{name}/settings", change_settings, Body.SMALL),
    Route("POST", "api/{kind}/{space}/{name}/user-access-request/grant", grant_access, Body.SMALL),
    Route("GET", "api/{kind}/{space}/{name}/auth-check", check_read),
    Route("GET", "api/{kind}/{space}/{name}/auth-check/write", check_write),
]
