"""Users by token, and short-lived signed tickets for uploads.

Tokens are stored as SHA-256 only. Tickets replace a token where clients send none (the URL of a large-file upload) or
must not send it (Xet).
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.localhub import names
from ncfm_hub.localhub.database import Database
from ncfm_hub.localhub.hub import Role, User
from ncfm_hub.localhub.replies import HubError

_TICKET_SECONDS = 6 * 3600


@dataclass(frozen=True)
class Account:
    """The user behind a token, with that token's role."""

    name: str
    role: str


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Accounts:
    """The users of a hub, and the secret that signs tickets."""

    def __init__(self, database: Database):
        self._db = database
        with database.transaction():
            database.rows("insert or ignore into setting values('secret', ?)", secrets.token_hex(32))
        self._secret = bytes.fromhex(database.rows("select value from setting where key='secret'")[0][0])

    def set_users(self, users: Sequence[User]) -> None:
        """Replace all users."""
        for user in users:
            _check_given(user)
        with self._db.transaction():
            self._db.rows("delete from account")
            for user in users:
                values = (_hash(user.token), user.name, user.role)
                self._db.rows("insert or replace into account(token, name, role) values(?, ?, ?)", *values)

    def renew(self, name: str, role: Role, token: str) -> None:
        """Admit `token`, which the hub stores in a file, in place of the one stored there before."""
        with self._db.transaction():
            self._db.rows("delete from account where name=? and role=? and kept", name, role)
            self._db.rows("insert into account(token, name, role, kept) values(?, ?, ?, 1)", _hash(token), name, role)

    def kept(self) -> list[tuple[str, Role]]:
        """Return name and role of each token that the hub stores in a file."""
        rows = self._db.rows("select name, role from account where kept order by name, role desc")
        return [(name, role) for name, role in rows]

    def empty(self) -> bool:
        """Return whether there are no users."""
        return not self._db.rows("select 1 from account limit 1")

    def find(self, token: str) -> Account | None:
        """Return the account of a token."""
        rows = self._db.rows("select name, role from account where token=?", _hash(token))
        return Account(*rows[0]) if rows else None

    def exists(self, name: str) -> bool:
        """Return whether there is a user of that name."""
        return bool(self._db.rows("select 1 from account where name=?", name))

    def ticket(self, purpose: str, user: str, size: int = 0) -> tuple[str, int]:
        """Return a signed statement that `user` may do `purpose`, and when it expires (seconds since 1970).

        size: the announced size in bytes
        """
        ends = int(time.time()) + _TICKET_SECONDS
        claim = base64.urlsafe_b64encode(json.dumps([purpose, user, ends, size]).encode()).decode().rstrip("=")
        return f"{claim}.{self._sign(claim)}", ends

    def redeem(self, purpose: str, ticket: str) -> str:
        """Return the user of a ticket. Raises HubError (401) unless it is authentic, for `purpose` and not expired."""
        claim, _, signature = ticket.partition(".")
        if hmac.compare_digest(self._sign(claim).encode(), signature.encode()):
            made_for, user, ends, _ = _claims(claim)
            if made_for == purpose and ends >= time.time():
                return str(user)
        raise HubError(401, "This upload ticket is invalid or expired; start the upload again")

    @staticmethod
    def announced(ticket: str) -> int:
        """Return the size stated in a redeemed ticket."""
        return int(_claims(ticket.partition(".")[0])[3])

    def _sign(self, claim: str) -> str:
        return hmac.new(self._secret, claim.encode(), hashlib.sha256).hexdigest()


def _claims(claim: str) -> tuple[str, str, int, int]:
    purpose, user, ends, size = json.loads(base64.urlsafe_b64decode(claim + "=" * (-len(claim) % 4)))
    return purpose, user, ends, size


def check_user(name: str, role: str) -> None:
    """Raise NcfmHubError for an invalid name or role."""
    try:
        names.user_name(name)
    except HubError as error:
        raise NcfmHubError(error.message) from None
    if role not in ("write", "read"):
        raise NcfmHubError(f"user {name}: role {role!r} is unknown; expected write or read")


def _check_given(user: User) -> None:
    check_user(user.name, user.role)
    if not user.token or not user.token.isascii() or any(c.isspace() for c in user.token):
        raise NcfmHubError(f"user {user.name}: the token is invalid; expected ASCII characters without spaces")
