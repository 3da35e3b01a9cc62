"""What a measurement would train and write, as `--dry-run` of `evaluate`, `continual` and `nas` says it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PlannedMeasurement:
    """The students of one distilled dataset, before any of them is trained.

    dataset: folder or Hub repository that is measured
    source: dataset that it is tested on
    students: evaluation networks to train at most; those in the cache are not trained again
    minutes: estimated for all of them; None if unknown
    writes: files that would be written; empty if the result is only printed
    """

    dataset: str
    source: str
    students: int
    minutes: float | None
    writes: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as `--format json` prints it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the plan as text, one line per item."""
        return [
            f"dataset    {self.dataset}",
            f"tested on  {self.source}",
            f"students   up to {self.students}, without those in the cache",
            f"estimate   {'unknown' if self.minutes is None else f'{self.minutes:.1f} min'}",
            f"writes     {', '.join(map(str, self.writes)) or 'nothing (no --update)'}",
        ]


def lines_of(plans: Sequence[PlannedMeasurement]) -> list[str]:
    """Return several plans as text, with an empty line between them."""
    lines: list[str] = []
    for plan in plans:
        lines += ["", *plan.lines()] if lines else plan.lines()
    return lines
