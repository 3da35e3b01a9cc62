"""Who may do what: users by token, and short-lived signed tickets for uploads.

Tokens are kept as SHA-256 only. Tickets stand in for a token where the clients send none (the URL of a large-file
upload) or must not send it (Xet).
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.localhub import names
from ncfm_hub.localhub.database import Database
from ncfm_hub.localhub.hub import User
from ncfm_hub.localhub.replies import HubError

_LOCAL_USER = "local"
_TICKET_SECONDS = 6 * 3600


@dataclass(frozen=True)
class Account:
    """The user behind a token, with that token's role."""

    name: str
    role: str


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Accounts:
    """The users of a hub, and the secret that its tickets are signed with."""

    def __init__(self, database: Database):
        self._db = database
        with database.transaction():
            database.rows("insert or ignore into setting values('secret', ?)", secrets.token_hex(32))
        self._secret = bytes.fromhex(database.rows("select value from setting where key='secret'")[0][0])

    def set_users(self, users: Sequence[User]) -> None:
        """Let exactly these users in from now on."""
        for user in users:
            _check(user)
        with self._db.transaction():
            self._db.rows("delete from account")
            for user in users:
                self._db.rows("insert or replace into account values(?, ?, ?)", _hash(user.token), user.name, user.role)

    def local_users(self, root: Path) -> tuple[User, ...]:
        """Those users of an earlier start whose token can be told; on the first start, make a user `local`.

        The token of `local` is kept in `root/token`, readable by the owner of the folder only.
        """
        path = root / "token"
        if not self._db.rows("select 1 from account"):
            token = f"hf_{secrets.token_hex(17)}"
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(token + "\n")
                handle.flush()
                os.fsync(handle.fileno())
            self.set_users([User(_LOCAL_USER, token, "write")])
        token = path.read_text().strip() if path.is_file() else ""
        account = self.find(token)
        return (User(account.name, token, "write"),) if account and account.role == "write" else ()

    def find(self, token: str) -> Account | None:
        """Whose token it is."""
        rows = self._db.rows("select name, role from account where token=?", _hash(token))
        return Account(*rows[0]) if rows else None

    def exists(self, name: str) -> bool:
        """Whether there is a user of that name."""
        return bool(self._db.rows("select 1 from account where name=?", name))

    def ticket(self, purpose: str, user: str) -> tuple[str, int]:
        """A signed statement that `user` may do `purpose`, and when it ends (seconds since 1970)."""
        ends = int(time.time()) + _TICKET_SECONDS
        claim = base64.urlsafe_b64encode(json.dumps([purpose, user, ends]).encode()).decode().rstrip("=")
        return f"{claim}.{self._sign(claim)}", ends

    def redeem(self, purpose: str, ticket: str) -> str:
        """The user a ticket was made for. Raises HubError (401) unless it is ours, for `purpose` and still good."""
        claim, _, signature = ticket.partition(".")
        if hmac.compare_digest(self._sign(claim).encode(), signature.encode()):
            made_for, user, ends = json.loads(base64.urlsafe_b64decode(claim + "=" * (-len(claim) % 4)))
            if made_for == purpose and ends >= time.time():
                return str(user)
        raise HubError(401, "This upload permission is not valid or has ended. Start the upload again.")

    def _sign(self, claim: str) -> str:
        return hmac.new(self._secret, claim.encode(), hashlib.sha256).hexdigest()


def _check(user: User) -> None:
    """Raise NcfmHubError for a user that could not work."""
    try:
        names.user_name(user.name)
    except HubError as error:
        raise NcfmHubError(error.message) from None
    if user.role not in ("write", "read"):
        raise NcfmHubError(f"user {user.name}: role is {user.role!r}, expected write or read")
    if not user.token or not user.token.isascii() or any(c.isspace() for c in user.token):
        raise NcfmHubError(f"user {user.name}: the token must be one word of plain letters, digits and signs")
