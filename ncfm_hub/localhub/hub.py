"""What those who start a local hub hold in their hands: its users, its address, a way to make it fail on purpose."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["write", "read"]


@dataclass(frozen=True)
class User:
    """Somebody with a token. The name is also the namespace of their repositories; one name may have several tokens.

    file: where the hub keeps the token, if it made it itself
    """

    name: str
    token: str
    role: Role = "write"
    file: Path | None = None

    def __repr__(self) -> str:  # tokens appear in no log and no traceback
        return f"User(name={self.name!r}, role={self.role!r})"


@dataclass(frozen=True)
class Hub:
    """A running local hub: its address and those users whose tokens are known (it keeps only hashes of the others)."""

    url: str
    users: tuple[User, ...]

    def token(self, name: str | None = None, role: Role | None = None) -> str:
        """A user's token, one that may write if there is a choice; by default the first user's.

        Raises KeyError if no such token is known.
        """
        fitting = [user for user in self.users if name in (None, user.name) and role in (None, user.role)]
        if not fitting:
            raise KeyError(f"no token of {name or 'any user'} is known to this hub")
        return min(fitting, key=lambda user: user.role != "write").token

    def inject(self, method: str, contains: str, fault: int | str, times: int = 1) -> None:
        """Make the next `times` requests of `method` whose path contains `contains` fail (only with `allow_faults`).

        `fault` is a status (409, 412, 429, 500 to 599), `drop` to cut the connection before anything is done,
        `drop-after` to do what is asked and then cut the connection instead of answering, `hang` to do nothing and
        never answer, or `stall` to stop in the middle of the answer.
        """
        import urllib.request  # slow to import, and only tests come here

        rule = {"method": method, "contains": contains, "fault": fault, "times": times}
        request = urllib.request.Request(
            f"{self.url}/_faults", json.dumps(rule).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by way of a proxy
        with opener.open(request, timeout=30):
            pass
