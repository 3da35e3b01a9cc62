"""How long stages report to whoever watches. The library is silent unless handed something that speaks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One running stage."""

    def advance(self, count: int = 1, **figures: float | str) -> None:
        """Move on by `count` units and show the latest `figures` (for example `loss=21.3`)."""


class Progress(Protocol):
    """What a stage tells: notes, and bars that know their rate and time left."""

    def note(self, message: str) -> None:
        """Say one line."""

    def bar(self, total: int, what: str, done: int = 0) -> AbstractContextManager[Bar]:
        """Open a bar of `total` units, `done` of them finished before (a resumed run)."""


class _SilentBar:
    def advance(self, count: int = 1, **figures: float | str) -> None:
        pass


class Silent:
    """The default: says nothing."""

    def note(self, message: str) -> None:
        pass

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        yield _SilentBar()
