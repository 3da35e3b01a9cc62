"""Wall time by stage, accumulated over the parts of an interrupted run."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ncfm_hub.utils.files import write_json
from ncfm_hub.utils.progress import Bar, Progress

_SECONDS = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_KEPT = TypeAdapter(dict[str, _SECONDS], config=ConfigDict(strict=True))


class Stopwatch:
    """Seconds by stage, including earlier parts of the run.

    file: where they are stored, from the end of the first stage on, since a run cannot be resumed before; None in
        processes that store nothing
    """

    every = 2.0  # seconds between writes, the most that a kill loses

    def __init__(self, file: Path | None, progress: Progress):
        self.seconds: dict[str, float] = {}
        self._file, self._stage, self._since = file, "", time.perf_counter()
        self._keeps = False
        if file is not None and file.is_file():
            self._keeps = True
            try:
                self.seconds = _KEPT.validate_python(json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:  # pydantic's error is a ValueError
                kind = "no times" if isinstance(error, ValidationError) else "not readable"
                progress.note(f"{file} is {kind}; the times of what was done before are not known, and count from now")
        self._write()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to a stage, even if it raises."""
        self._stage, self._since = stage, time.perf_counter()
        try:
            yield
            self._keeps = True
        finally:
            self._add()
            self._stage = ""
            self._write()

    def record(self, stage: str, seconds: float) -> None:
        """Set the duration of a stage whose checkpoint stores it."""
        self.seconds[stage] = seconds
        self._write()

    def tick(self) -> None:
        """Store the elapsed time now and then; call often."""
        if self._stage and time.perf_counter() - self._written >= self.every:
            self._add()
            self._write()

    def _add(self) -> None:
        now = time.perf_counter()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._since = now

    def _write(self) -> None:
        self._written = time.perf_counter()
        if self._file is not None and self._keeps:
            write_json(self._file, self.seconds)


class Ticking:
    """A progress that ticks a stopwatch on every advance."""

    def __init__(self, progress: Progress, watch: Stopwatch):
        self._progress, self._watch = progress, watch

    def note(self, message: str) -> None:
        self._progress.note(message)

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        with self._progress.bar(total, what, done) as bar:
            yield _TickingBar(bar, self._watch)


class _TickingBar:
    def __init__(self, bar: Bar, watch: Stopwatch):
        self._bar, self._watch = bar, watch

    def advance(self, count: int = 1, **figures: float | str) -> None:
        self._watch.tick()
        self._bar.advance(count, **figures)
