"""List and download files."""

import urllib.parse
from collections.abc import Sequence
from typing import Any

from starlette.responses import FileResponse, JSONResponse, Response

from ncfm_hub.localhub import names, trees
from ncfm_hub.localhub.access import readable, visible
from ncfm_hub.localhub.history import Commit
from ncfm_hub.localhub.replies import entry_not_found
from ncfm_hub.localhub.routes.repos import no_namespace
from ncfm_hub.localhub.web import Body, Call, Route, member, paged, parse_json, strings


def list_folder(call: Call) -> Response:
    """List the files and folders in a folder, optionally recursively."""
    repo = visible(call)
    oid = call.hub.history.resolve(repo.id, call.params["rev"])
    tree = call.hub.history.tree(repo.id, oid)
    folders = trees.folders(tree)
    base = call.params["path"]
    if base and base not in folders:
        raise entry_not_found(base, {"X-Repo-Commit": oid})
    start = len(base) + 1 if base else 0
    everything = call.flag("recursive")

    def inside(path: str) -> bool:
        return path.startswith(base + "/" if base else "") and (everything or "/" not in path[start:])

    paths = [path for path in sorted(folders) if inside(path)] + [path for path in sorted(tree) if inside(path)]
    commits = call.hub.history.commits(repo.id) if call.flag("expand") else None
    found = [_entry(path, tree, folders, commits) for path in paths]
    return paged(call, found, 1000, {"X-Repo-Commit": oid})


def paths_info(call: Call) -> Response:
    """List single paths; missing ones are left out."""
    repo = visible(call)
    if "json" in call.headers.get("content-type", ""):
        data = parse_json(call.data)
        paths, expand = strings(data.get("paths", [])), member(data, "expand", bool, False)
    else:
        form = urllib.parse.parse_qs(call.data.decode("utf-8", "replace"))
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() in ("true", "1")
    tree = call.hub.history.tree(repo.id, call.hub.history.resolve(repo.id, call.params["rev"]))
    folders = trees.folders(tree)
    commits = call.hub.history.commits(repo.id) if expand else None
    return JSONResponse([_entry(path, tree, folders, commits) for path in paths if path in tree or path in folders])


def _entry(
    path: str, tree: trees.Tree, folders: dict[str, list[str]], commits: dict[str, Commit] | None
) -> dict[str, Any]:
    file = tree.get(path)
    if file is None:
        entry: dict[str, Any] = {"type": "directory", "oid": trees.folder_oid(tree, folders[path]), "size": 0}
    else:
        entry = {"type": "file", "oid": file.oid, "size": file.size}
        if file.sha256:
            entry["lfs"] = trees.lfs_json(file)
    entry["path"] = path
    if commits is not None:
        entry["lastCommit"] = _last_commit([path] if file else folders[path], tree, commits)
    return entry


def _last_commit(paths: Sequence[str], tree: trees.Tree, commits: dict[str, Commit]) -> dict[str, str]:
    """Return the latest commit that changed one of these files."""
    last = max((commits[tree[path].commit] for path in paths), key=lambda commit: commit.number)
    return {"id": last.oid, "title": last.title, "date": last.date}


def download(call: Call) -> Response:
    """Return a file's bytes or a range of them."""
    repo = readable(call)
    path = names.file_path(call.params["path"])
    oid = call.hub.history.resolve(repo.id, call.params["rev"])
    headers = {"X-Repo-Commit": oid, "X-Content-Type-Options": "nosniff"}
    file = call.hub.history.tree(repo.id, oid).get(path)
    if file is None:
        raise entry_not_found(path, headers)
    headers["ETag"] = f'"{file.sha256 or file.oid}"'
    if file.sha256:
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(file.size)}
    place = call.hub.objects.large(file.sha256) if file.sha256 else call.hub.objects.blob(file.oid)
    name = urllib.parse.quote(path.rsplit("/", 1)[-1])
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{name}"
    return _Bytes(place, headers=headers, media_type="application/octet-stream")


class _Bytes(FileResponse):
    chunk_size = 1 << 20  # each chunk costs a thread switch


ROUTES = [
    Route("GET", "api/{kind}/{space}/{name}/tree/{rev}/{path*}", list_folder),
    Route("POST", "api/{kind}/{space}/{name}/paths-info/{rev}", paths_info, Body.SMALL),
    Route("GET", "{kind}/{space}/{name}/resolve/{rev}/{path*}", download),
    Route("GET", "{kind}/{space}/{name}/raw/{rev}/{path*}", download),
    Route("GET", "{kind}/{name}/resolve/{rev}/{path*}", no_namespace),
]
