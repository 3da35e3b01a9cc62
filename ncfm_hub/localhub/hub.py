"""A handle on a local hub: its users, its address, and fault injection."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["write", "read"]


@dataclass(frozen=True)
class User:
    """A user with a token. The name is also the namespace of their repositories; one name may have several tokens.

    file: where the hub stores the token, if it created it
    """

    name: str
    token: str
    role: Role = "write"
    file: Path | None = None

    def __repr__(self) -> str:  # keeps tokens out of logs and tracebacks
        return f"User(name={self.name!r}, role={self.role!r})"


@dataclass(frozen=True)
class Hub:
    """A running local hub: its address and the users whose tokens are known (it stores only hashes of the others)."""

    url: str
    users: tuple[User, ...]

    def token(self, name: str | None = None, role: Role | None = None) -> str:
        """Return a user's token, preferably one that may write; default: the first user's.

        Raises KeyError if no such token is known.
        """
        fitting = [user for user in self.users if name in (None, user.name) and role in (None, user.role)]
        if not fitting:
            raise KeyError(f"this hub has no token for {name or 'any user'}")
        return min(fitting, key=lambda user: user.role != "write").token

    def inject(self, method: str, contains: str, fault: int | str, times: int = 1) -> None:
        """Make the next `times` requests of `method` with `contains` in their path fail (only with `allow_faults`).

        fault: a status (409, 412, 429, 500 to 599), `drop` to close the connection before doing anything, `drop-after`
            to do what is asked and then close the connection without a response, `hang` to do nothing and never
            respond, or `stall` to stop in the middle of the response
        """
        import urllib.request  # slow to import and used only by tests

        rule = {"method": method, "contains": contains, "fault": fault, "times": times}
        request = urllib.request.Request(
            f"{self.url}/_faults", json.dumps(rule).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
        with opener.open(request, timeout=30):
            pass
