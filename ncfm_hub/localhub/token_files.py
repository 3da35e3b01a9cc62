"""Tokens created by a local hub, each in a file that only the owner of the hub's folder can read."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from ncfm_hub.localhub.accounts import Account, Accounts, check_user
from ncfm_hub.localhub.hub import Role, User
from ncfm_hub.localhub.objects import Objects

_FIRST_USER = "local"


class TokenFiles:
    """Users whose tokens are stored here: `root/token`, `root/tokens/NAME-ROLE`."""

    def __init__(self, root: Path, accounts: Accounts, objects: Objects):
        self._root = root
        self._accounts = accounts
        self._objects = objects

    def users(self, wanted: Sequence[tuple[str, Role]]) -> tuple[User, ...]:
        """Return the wanted users, then those of earlier starts; a hub without users gets a user `local`.

        Tokens are created where missing. Raises NcfmHubError for an invalid name or role, before any is created.
        """
        for name, role in wanted:
            check_user(name, role)
        if not wanted and self._accounts.empty():
            wanted = [(_FIRST_USER, "write")]
        return tuple(self._user(name, role) for name, role in dict.fromkeys([*wanted, *self._accounts.kept()]))

    def _user(self, name: str, role: Role) -> User:
        path = self._path(name, role)
        token = _read(path)
        if self._accounts.find(token) != Account(name, role):
            token = f"hf_{secrets.token_hex(17)}"
            self._write(path, token)  # written before it is admitted, so that no admitted token can be lost
            self._accounts.renew(name, role, token)
        return User(name, token, role, path)

    def _path(self, name: str, role: Role) -> Path:
        """Return the path of a token; the name was validated, so it is below the root."""
        if (name, role) == (_FIRST_USER, "write"):
            return self._root / "token"
        return self._root / "tokens" / f"{name}-{role}"

    def _write(self, place: Path, token: str) -> None:
        with self._objects.scratch() as path:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(token + "\n")
            self._objects.adopt(path, place)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
