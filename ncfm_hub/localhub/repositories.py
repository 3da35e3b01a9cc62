"""Repositories: names, visibility and gating."""

from dataclasses import dataclass

from ncfm_hub.localhub.database import Database, now
from ncfm_hub.localhub.history import Change, History
from ncfm_hub.localhub.names import PREFIXES

_COLUMNS = "id, kind, namespace, name, private, gated, created"


@dataclass(frozen=True)
class Repo:
    """A repository's row. `gated` is empty, `auto` or `manual`."""

    id: int
    kind: str
    namespace: str
    name: str
    private: bool
    gated: str
    created: str

    @property
    def full_name(self) -> str:
        """The repository id that clients use."""
        return f"{self.namespace}/{self.name}"

    @property
    def page(self) -> str:
        """Its path on the server."""
        return PREFIXES[self.kind] + self.full_name


class Repositories:
    """The repositories in the database. Each public method is one transaction."""

    def __init__(self, database: Database, history: History):
        self._db = database
        self._history = history

    def find(self, kind: str, namespace: str, name: str) -> Repo | None:
        """Return the repository of that name, visible or not."""
        rows = self._db.rows(
            f"select {_COLUMNS} from repo where kind=? and namespace=? and name=?", kind, namespace, name
        )
        return _repo(rows[0]) if rows else None

    def all(self, kind: str | None = None) -> list[Repo]:
        """Return all repositories, or those of a kind, newest first."""
        rows = self._db.rows(f"select {_COLUMNS} from repo where kind=coalesce(?, kind) order by id desc", kind)
        return [_repo(row) for row in rows]

    def create(self, kind: str, namespace: str, name: str, private: bool, first: Change) -> Repo | None:
        """Create a repository with one commit on `main`; None if it exists."""
        with self._db.transaction():
            if self.find(kind, namespace, name):
                return None
            values = (kind, namespace, name, private, now())
            self._db.rows("insert into repo(kind, namespace, name, private, created) values(?, ?, ?, ?, ?)", *values)
            repo = self.find(kind, namespace, name)
            assert repo is not None
            self._history.start(repo.id, first)
        return repo

    def delete(self, repo: Repo) -> None:
        """Delete a repository with its history."""
        with self._db.transaction():
            self._db.rows("delete from repo where id=?", repo.id)

    def rename(self, repo: Repo, name: str) -> bool:
        """Rename a repository within its namespace; returns False if the name is taken."""
        with self._db.transaction():
            if self.find(repo.kind, repo.namespace, name):
                return False
            self._db.rows("update repo set name=? where id=?", name, repo.id)
        return True

    def set_private(self, repo: Repo, private: bool) -> None:
        """Make a repository private or public."""
        with self._db.transaction():
            self._db.rows("update repo set private=? where id=?", private, repo.id)

    def set_gated(self, repo: Repo, gated: str) -> None:
        """Set gating: `auto`, `manual`, or empty for none."""
        with self._db.transaction():
            self._db.rows("update repo set gated=? where id=?", gated, repo.id)

    def admit(self, repo: Repo, user: str) -> None:
        """Grant a user access to the files of a gated repository."""
        with self._db.transaction():
            self._db.rows("insert or ignore into guest values(?, ?)", repo.id, user)

    def is_admitted(self, repo: Repo, user: str) -> bool:
        """Return whether `admit` was called for this user."""
        return bool(self._db.rows("select 1 from guest where repo=? and name=?", repo.id, user))


def _repo(row: tuple) -> Repo:
    return Repo(row[0], row[1], row[2], row[3], bool(row[4]), row[5], row[6])
