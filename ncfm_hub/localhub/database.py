"""A SQLite file, opened by one server at a time, with transactions that survive a power failure."""

import datetime
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ncfm_hub.errors import NcfmHubError

# The first N steps create format N of the file; an older file is migrated when opened.
_STEPS = (
    """
create table account(token text primary key, name text not null, role text not null);
create table setting(key text primary key, value text not null);
create table repo(
  id integer primary key autoincrement, kind text not null, namespace text not null, name text not null,
  private integer not null, gated text not null default '', created text not null, unique(kind, namespace, name));
create table guest(
  repo integer not null references repo(id) on delete cascade, name text not null, primary key(repo, name));
create table ref(
  repo integer not null references repo(id) on delete cascade, kind text not null, name text not null,
  oid text not null, primary key(repo, kind, name));
create table history(
  number integer primary key, repo integer not null references repo(id) on delete cascade, oid text not null,
  parent text, title text not null, body text not null, author text not null, date text not null,
  tree text not null, unique(repo, oid));
create table holding(
  repo integer not null references repo(id) on delete cascade, sha256 text not null, primary key(repo, sha256));
create table upload(name text not null, sha256 text not null, primary key(name, sha256));
""",
    """
alter table account add column kept integer not null default 0;
update account set kept=1 where name='local' and role='write';
""",
    """
create table pull(
  repo integer not null references repo(id) on delete cascade, number integer not null, title text not null,
  author text not null, created text not null, merged text, primary key(repo, number));
""",
)


def now() -> str:
    """Return the current time in UTC, in the Hub's format."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class Database:
    """A connection shared by all request threads, used by one at a time.

    Raises NcfmHubError if another server has the folder open, or the file is not a hub's.
    """

    def __init__(self, path: Path):
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1.0)
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if "locked" in str(error):
                raise NcfmHubError(
                    f"{path.parent} is in use by another local hub; stop that one, or choose another folder"
                ) from None
            raise NcfmHubError(f"{path} cannot be used: {error}") from None

    def _open(self, path: Path) -> None:
        for pragma in ("locking_mode=exclusive", "journal_mode=wal", "synchronous=full", "foreign_keys=on"):
            self._connection.execute(f"pragma {pragma}").fetchall()
        with self.transaction():
            version = self.rows("pragma user_version")[0][0]
            if not 0 <= version <= len(_STEPS):
                raise sqlite3.DatabaseError(f"written by another version of the local hub (format {version})")
            for number, step in enumerate(_STEPS[version:], start=version + 1):
                for statement in step.strip().split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"pragma user_version={number}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as a transaction that excludes all other reads and writes. May be nested."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:  # on a full disk SQLite rolls back by itself
                    self._connection.execute("rollback")
                raise

    @staticmethod
    def is_full(error: BaseException) -> bool:
        """Return whether SQLite failed for lack of space; some systems report a full disk as a failed write."""
        code = getattr(error, "sqlite_errorcode", None)
        return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Release the folder for another server."""
        with self._lock:
            self._connection.close()
