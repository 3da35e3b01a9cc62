"""Ending work in its midst, as a signal would."""

from collections.abc import Iterator
from contextlib import contextmanager

from ncfm_hub.utils.progress import Bar, Silent


class Stopped(Exception):
    pass


class StopAfter(Silent):
    """A progress whose bar raises Stopped once it has advanced by more than `count`."""

    def __init__(self, count: int):
        self.left = count

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        yield self

    def advance(self, count: int = 1, **figures: float | str) -> None:
        self.left -= count
        if self.left < 0:
            raise Stopped


class StopIn(Silent):
    """A progress that raises Stopped once the named stage has advanced by more than `units`, and keeps what is said."""

    def __init__(self, stage: str, units: int):
        self.stage, self.units = stage, units
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        yield self if what == self.stage else Silent().bar(total, what).__enter__()

    def advance(self, count: int = 1, **figures: float | str) -> None:
        self.units -= count
        if self.units < 0:
            raise Stopped
