"""Progress of long stages. The library is silent unless it is given a receiver."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """A running stage."""

    def advance(self, count: int = 1, **figures: float | str) -> None:
        """Advance by `count` units and show the latest `figures` (for example `loss=21.3`)."""


class Progress(Protocol):
    """Receiver of notes and progress bars, which know their rate and time left."""

    def note(self, message: str) -> None:
        """Show a message of one line."""

    def bar(self, total: int, what: str, done: int = 0) -> AbstractContextManager[Bar]:
        """Open a bar of `total` units, `done` of them completed before (a resumed run)."""


class _Counting:
    def __init__(self, bar: Bar):
        self.bar, self.count = bar, 0

    def advance(self, count: int = 1, **figures: float | str) -> None:
        self.count += count
        self.bar.advance(count, **figures)


@contextmanager
def taken_back(bar: Bar) -> Iterator[Bar]:
    """Yield the bar for work that may run out of memory and begin again: a RuntimeError takes back its advance."""
    counting = _Counting(bar)
    try:
        yield counting
    except RuntimeError:
        bar.advance(-counting.count)
        raise


class _SilentBar:
    def advance(self, count: int = 1, **figures: float | str) -> None:
        pass


class Silent:
    """The default receiver, which ignores everything."""

    def note(self, message: str) -> None:
        pass

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        yield _SilentBar()
