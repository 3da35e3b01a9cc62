"""Fault injection, to test clients."""

import threading
from dataclasses import dataclass

from ncfm_hub.localhub.replies import HubError

DROP = "drop"
DROP_AFTER = "drop-after"
HANG = "hang"
STALL = "stall"
_STATUSES = {409, 412, 429, *range(500, 600)}


@dataclass
class _Rule:
    method: str
    contains: str
    fault: int | str
    times: int


class Faults:
    """Rules that each affect a number of requests. Disabled unless the hub was started with `allow_faults`."""

    def __init__(self, allowed: bool):
        self.allowed = allowed
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def add(self, method: str, contains: str, fault: int | str, times: int) -> None:
        """Apply `fault` to the next `times` requests of `method` with `contains` in their path."""
        if fault not in (DROP, DROP_AFTER, HANG, STALL) and fault not in _STATUSES:
            raise HubError(400, f"Unknown fault: {fault!r}")
        with self._lock:
            self._rules.append(_Rule(method, contains, fault, times))

    def take(self, method: str, path: str) -> int | str | None:
        """Return the fault for this request, if any, and count it."""
        with self._lock:
            for rule in self._rules:
                if rule.times > 0 and rule.method == method and rule.contains in path:
                    rule.times -= 1
                    return rule.fault
        return None
