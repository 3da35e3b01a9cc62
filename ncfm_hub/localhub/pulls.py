"""Pull requests: commits apart from `main`, until someone merges them."""

from dataclasses import dataclass

from ncfm_hub.localhub.database import Database, now
from ncfm_hub.localhub.history import PULL, Change, History
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.trees import Delete, Operation, Put, Tree


@dataclass(frozen=True)
class Pull:
    """A pull request against `main`. merged: the commit there that has its changes, None while it is open."""

    number: int
    title: str
    author: str
    created: str
    merged: str | None

    @property
    def status(self) -> str:
        """`open` or `merged`."""
        return "merged" if self.merged else "open"


class Pulls:
    """The pull requests of all repositories. Each public method is one transaction."""

    def __init__(self, database: Database, history: History):
        self._db = database
        self._history = history

    def open(self, repo: int, title: str, author: str, base: str = "main") -> int:
        """Open a pull request without changes, at the commit `base`; returns its number."""
        with self._db.transaction():
            number = 1 + self._db.rows("select coalesce(max(number), 0) from pull where repo=?", repo)[0][0]
            values = (repo, number, title, author, now())
            self._db.rows("insert into pull(repo, number, title, author, created) values(?, ?, ?, ?, ?)", *values)
            self._history.add_ref(repo, "pull", str(number), base)
        return int(number)

    def propose(self, repo: int, change: Change, parent: str | None) -> tuple[int, str]:
        """Open a pull request of one commit after `parent` or the head of `main`; returns its number and the commit."""
        with self._db.transaction():
            number = self.open(repo, change.title, change.author, parent or "main")
            return number, self._history.commit(repo, f"{PULL}{number}", change)

    def all(self, repo: int) -> list[Pull]:
        """Return the pull requests of a repository, latest first."""
        rows = self._db.rows(
            "select number, title, author, created, merged from pull where repo=? order by number desc", repo
        )
        return [Pull(*row) for row in rows]

    def find(self, repo: int, number: str) -> Pull:
        """Return a pull request by its number. Raises HubError (404) if there is none."""
        for pull in self.all(repo):
            if str(pull.number) == number:
                return pull
        raise HubError(404, f"There is no discussion {number[:20]!r}")

    def conflicts(self, repo: int, pull: Pull) -> list[str]:
        """Return the files that the pull request and `main` have changed differently."""
        with self._db.transaction():
            return [] if pull.merged else self._changes(repo, pull)[1]

    def merge(self, repo: int, number: str) -> None:
        """Add the changes to `main` as one commit, as the Hub does.

        Raises HubError: 400 if it is merged already, 409 if it conflicts with `main`.
        """
        with self._db.transaction():
            pull = self.find(repo, number)
            if pull.merged:
                raise HubError(400, f"Pull request {number} is merged already")
            operations, conflicts = self._changes(repo, pull)
            if conflicts:
                raise HubError(409, f"Pull request {number} conflicts with main in {', '.join(conflicts[:5])}")
            change = Change(operations, f"{pull.title} (#{number})", "", pull.author)
            oid = self._history.commit(repo, "main", change)
            self._db.rows("update pull set merged=? where repo=? and number=?", oid, repo, pull.number)

    def _changes(self, repo: int, pull: Pull) -> tuple[list[Operation], list[str]]:
        """Return what a merge does to `main`, and the files that both sides have changed differently."""
        main, head = (self._history.resolve(repo, name) for name in ("main", f"{PULL}{pull.number}"))
        of_main = {commit.oid for commit in self._history.line(repo, main)}
        base = next(commit.oid for commit in self._history.line(repo, head) if commit.oid in of_main)
        before, proposed, there = (self._history.tree(repo, oid) for oid in (base, head, main))
        operations: list[Operation] = []
        conflicts = []
        for path in sorted(before.keys() | proposed.keys()):
            was, wanted, now_there = (_put(tree, path) for tree in (before, proposed, there))
            if wanted in (was, now_there):
                continue
            if was != now_there:
                conflicts.append(path)
            operations.append(wanted or Delete(path, folder=False))
        return operations, conflicts


def _put(tree: Tree, path: str) -> Put | None:
    """Return the operation that makes a file as it is in `tree`; None if it has none."""
    file = tree.get(path)
    return Put(path, file.oid, file.size, file.sha256) if file else None
