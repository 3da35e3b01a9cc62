"""Branches, tags, pull requests' references, commits, and the large files they reference."""

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from ncfm_hub.localhub import trees
from ncfm_hub.localhub.database import Database, now
from ncfm_hub.localhub.replies import HubError, revision_not_found

PULL = "refs/pr/"  # before the number of a pull request; there is no shorter name for its reference
_COLUMNS = "number, oid, parent, title, body, author, date"


@dataclass(frozen=True)
class Commit:
    """A commit without its files; `number` grows with time."""

    number: int
    oid: str
    parent: str | None
    title: str
    body: str
    author: str
    date: str


@dataclass(frozen=True)
class Change:
    """The operations, message and author of a new commit."""

    operations: Sequence[trees.Operation]
    title: str
    body: str
    author: str


class History:
    """References and commits of all repositories, by the repository's number.

    Each public method is one transaction, so commits are serialised.
    """

    def __init__(self, database: Database):
        self._db = database

    def refs(self, repo: int, kind: str) -> dict[str, str]:
        """Return branches, tags or pull requests (`kind`) by name with their commits, oldest first."""
        rows = self._db.rows("select name, oid from ref where repo=? and kind=? order by rowid", repo, kind)
        return dict(rows)

    def add_ref(self, repo: int, kind: str, name: str, revision: str) -> bool:
        """Create a branch or tag at a revision; returns False if the name is taken."""
        with self._db.transaction():
            if name in self.refs(repo, kind):
                return False
            oid = self.resolve(repo, revision)
            self._db.rows("insert into ref values(?, ?, ?, ?)", repo, kind, name, oid)
        return True

    def delete_ref(self, repo: int, kind: str, name: str) -> bool:
        """Delete a branch or tag; returns False if there is none."""
        with self._db.transaction():
            if name not in self.refs(repo, kind):
                return False
            self._db.rows("delete from ref where repo=? and kind=? and name=?", repo, kind, name)
        return True

    def resolve(self, repo: int, revision: str) -> str:
        """Return the commit of a branch, tag, full `refs/...` name or (short) commit id."""
        for kind, name in (_growing_ref(revision), ("tag", revision.removeprefix("refs/tags/"))):
            rows = self._db.rows("select oid from ref where repo=? and kind=? and name=?", repo, kind, name)
            if rows:
                return str(rows[0][0])
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            rows = self._db.rows("select oid from history where repo=? and oid like ?", repo, revision + "%")
            if len(rows) == 1:
                return str(rows[0][0])
        raise revision_not_found(revision)

    def commits(self, repo: int) -> dict[str, Commit]:
        """Return all commits of a repository by id, on any branch."""
        rows = self._db.rows(f"select {_COLUMNS} from history where repo=?", repo)
        return {row[1]: Commit(*row) for row in rows}

    def line(self, repo: int, oid: str) -> list[Commit]:
        """Return a commit and its ancestors, latest first."""
        known = self.commits(repo)
        found: list[Commit] = []
        at: str | None = oid
        while at is not None:
            found.append(known[at])
            at = known[at].parent
        return found

    def tree(self, repo: int, oid: str) -> trees.Tree:
        """Return the files at a commit."""
        rows = self._db.rows("select tree from history where repo=? and oid=?", repo, oid)
        if not rows:
            raise revision_not_found(oid)
        return trees.parse_tree(rows[0][0])

    def start(self, repo: int, change: Change) -> str:
        """Create the first commit of a new repository on `main`; returns its id."""
        with self._db.transaction():
            return self._add(repo, ("branch", "main"), None, {}, change)

    def commit(self, repo: int, revision: str, change: Change, parent: str | None = None) -> str:
        """Create a commit on a branch or `refs/pr/N`; returns its id. With `parent`, only if that is its head (412)."""
        kind, name = _growing_ref(revision)
        with self._db.transaction():
            head = self.refs(repo, kind).get(name)
            if head is None:
                raise revision_not_found(revision)
            if parent is not None and not head.startswith(parent):
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            return self._add(repo, (kind, name), head, self.tree(repo, head), change)

    def _add(self, repo: int, ref: tuple[str, str], parent: str | None, tree: trees.Tree, change: Change) -> str:
        oid = hashlib.sha1(f"{repo} {parent} {uuid.uuid4()}".encode(), usedforsecurity=False).hexdigest()
        text = trees.dump(trees.apply(tree, change.operations, oid))
        self._db.rows(
            "insert into history(repo, oid, parent, title, body, author, date, tree) values(?, ?, ?, ?, ?, ?, ?, ?)",
            *(repo, oid, parent, change.title, change.body, change.author, now(), text),
        )
        self._db.rows("insert into ref values(?, ?, ?, ?) on conflict do update set oid=excluded.oid", repo, *ref, oid)
        for operation in change.operations:
            if isinstance(operation, trees.Put) and operation.sha256:
                self._db.rows("insert or ignore into holding values(?, ?)", repo, operation.sha256)
        return oid

    def uploaded(self, user: str, sha256: str) -> None:
        """Record that a user has uploaded a large file."""
        with self._db.transaction():
            self._db.rows("insert or ignore into upload values(?, ?)", user, sha256)

    def may_refer(self, user: str, sha256: str) -> bool:
        """Return whether a user may commit a large file by hash: they uploaded it, or can read it in a repository."""
        return bool(
            self._db.rows(
                "select 1 from upload where name=? and sha256=? union all "
                "select 1 from holding join repo on repo.id=holding.repo where sha256=? and (namespace=? or "
                "(private=0 and (gated='' or exists(select 1 from guest where guest.repo=repo.id and guest.name=?))))",
                *(user, sha256, sha256, user, user),
            )
        )


def _growing_ref(revision: str) -> tuple[str, str]:
    """Return kind and name of the reference to which commits named by `revision` are added."""
    if revision.startswith(PULL):
        return "pull", revision.removeprefix(PULL)
    return "branch", revision.removeprefix("refs/heads/")
