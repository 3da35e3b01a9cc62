"""What `verify` returns; its lines are also those of `reproduce`."""

from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["passed", "failed", "not checked", "noted"]  # noted: found, and judged by no rule


@dataclass(frozen=True)
class Check:
    """One check of a dataset.

    dataset: its name in the folder or repository; None in the former layout
    found: one line on what was compared, or on the first thing that is wrong
    """

    dataset: str | None
    name: str
    outcome: Outcome
    found: str


@dataclass(frozen=True)
class Verified:
    """The checks of one or several distilled datasets, in order.

    target: folder or Hub repository, as named
    """

    target: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all checks passed."""
        return all(check.outcome == "passed" for check in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed, without those that could not be made."""
        return tuple(check.name for check in self.checks if check.outcome == "failed")

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {"target": self.target, "ok": self.ok, "checks": [vars(check) for check in self.checks]}
