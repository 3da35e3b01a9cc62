"""What `reproduce` returns."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.publishing.cards.escaping import plain
from ncfm_hub.publishing.verifying.result import Check, Outcome

_LONGEST = 400  # characters of a line, which may quote a stranger's files
Found = tuple[Outcome, str]  # an outcome and the line that says why


@dataclass(frozen=True)
class Reproduced:
    """A published dataset compared with the one made again from its record.

    target: folder or Hub repository, as named
    folder: what was made; None if it was not kept
    differences: of pixels, soft labels and accuracies, as `diff` gives them; empty if nothing was made
    """

    target: str
    checks: tuple[Check, ...]
    folder: Path | None
    differences: dict[str, Any] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing was left unchecked."""
        return all_good(self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "target": self.target,
            "ok": self.ok,
            "folder": None if self.folder is None else str(self.folder),
            "checks": [vars(check) for check in self.checks],
            "differences": self.differences,
        }


def all_good(checks: Iterable[Check]) -> bool:
    """Return whether all checks passed, or noted what no rule judges."""
    return all(check.outcome in ("passed", "noted") for check in checks)


def line(dataset: str | None, name: str, find: Callable[[], Found]) -> Check:
    """Return what `find` finds as a check; an error that it raises is a failure."""
    try:
        return check_of(dataset, name, *find())
    except NcfmHubError as error:
        return check_of(dataset, name, "failed", str(error))


def check_of(dataset: str | None, name: str, outcome: Outcome, found: str) -> Check:
    """Return a check whose text is one line without control characters."""
    return Check(dataset, plain(name), outcome, plain(found, _LONGEST))
