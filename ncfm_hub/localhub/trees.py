"""The files of a commit by path, and how a commit changes them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from ncfm_hub.localhub.objects import git_oid, lfs_pointer
from ncfm_hub.localhub.replies import HubError, entry_not_found


@dataclass(frozen=True, slots=True)
class File:
    """A file: Git hash, size in bytes, SHA-256 if it is large, and the commit that last changed it."""

    oid: str
    size: int
    sha256: str | None
    commit: str


Tree = dict[str, File]


@dataclass(frozen=True, slots=True)
class Put:
    """Add or replace a file; `sha256` names a large file uploaded before."""

    path: str
    oid: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a file or everything under a folder."""

    path: str
    folder: bool


Operation = Put | Delete


def put_large(path: str, sha256: str, size: int) -> Put:
    """Return the operation for a large file, whose Git hash is that of its pointer."""
    return Put(path, git_oid(lfs_pointer(sha256, size)), size, sha256)


def lfs_json(file: File) -> dict[str, str | int]:
    """Return the Hub's description of a large file."""
    pointer = lfs_pointer(file.sha256 or "", file.size)
    return {"oid": file.sha256 or "", "sha256": file.sha256 or "", "size": file.size, "pointerSize": len(pointer)}


def dump(tree: Tree) -> str:
    """Serialise a tree for the database."""
    return json.dumps({path: astuple(file) for path, file in tree.items()})


def parse_tree(text: str) -> Tree:
    """Parse a tree; the inverse of `dump`."""
    return {path: File(*values) for path, values in json.loads(text).items()}


def folders(tree: Tree) -> dict[str, list[str]]:
    """Return every folder of a tree with the paths of all files below it."""
    found: dict[str, list[str]] = {}
    for path in sorted(tree):
        end = path.find("/")
        while end >= 0:
            found.setdefault(path[:end], []).append(path)
            end = path.find("/", end + 1)
    return found


def folder_oid(tree: Tree, beneath: Iterable[str]) -> str:
    """Return a hash that changes exactly when the folder's content does (not Git's tree hash)."""
    text = "\n".join(f"{path}\0{tree[path].oid}" for path in beneath)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def apply(tree: Tree, operations: Iterable[Operation], commit: str) -> Tree:
    """Return the tree after `operations`, in order.

    Raises HubError for a deletion of something missing, and for a path that would be both file and folder.
    """
    changed = dict(tree)
    for operation in operations:
        if isinstance(operation, Put):
            changed[operation.path] = File(operation.oid, operation.size, operation.sha256, commit)
        elif operation.folder:
            beneath = [path for path in changed if path.startswith(operation.path + "/")]
            if not beneath:
                raise entry_not_found(operation.path)
            for path in beneath:
                del changed[path]
        elif changed.pop(operation.path, None) is None:
            raise entry_not_found(operation.path)
    clashes = changed.keys() & folders(changed).keys()
    if clashes:
        raise HubError(400, f"{min(clashes)!r} cannot be both a file and a folder")
    return changed
