"""Ending work in its midst, as a signal would."""

from collections.abc import Iterator
from contextlib import contextmanager

from ncfm_hub.progress import Bar, Silent


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
