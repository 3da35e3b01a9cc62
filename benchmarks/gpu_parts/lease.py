"""Work against the clock: pieces in the order of their importance, each result on disk as soon as it is known."""

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
# An update's speed is known after this many seconds; from then on what will not end in time is stopped.
SETTLED = 10.0


class Skip(Exception):
    """A piece cannot be measured now, for want of time or of what it works on."""


@dataclass(frozen=True)
class Piece:
    """One thing to measure.

    part: names the file of its figures, PART.json
    needs: seconds that must be left to begin it, by experience, most of them to compile; 0 for what takes no time
    """

    part: str
    name: str
    needs: float
    work: Callable[[], Figures]


class Lease:
    """A number of seconds on a machine, and what they were used for.

    began: by time.monotonic(); hurry: factor on what pieces need, for tiny ones
    machine: written into every file; may become known later
    """

    def __init__(self, began: float, seconds: float, folder: Path, hurry: float = 1.0):
        self.folder, self.hurry, self.machine = folder, hurry, {}
        self._began, self._seconds = began, seconds
        self._notes: list[str] = []  # of the piece that is being measured
        self.known: dict[str, dict[str, Figures]] = {}
        self.missing: dict[str, dict[str, str]] = {"skipped": {}, "failed": {}}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds until the lease ends."""
        return self._began + self._seconds - time.monotonic()

    def run(self, pieces: Sequence[Piece]) -> None:
        """Work through the pieces; one that fails or does not fit is named, and the next begins."""
        for piece in pieces:
            self._run(piece)
            self._write_summary(pieces)

    def say(self, text: str) -> None:
        """Print a line with the seconds since the lease began."""
        print(f"[{time.monotonic() - self._began:5.0f} s] {text}", flush=True)

    def note(self, text: str) -> None:
        """Print a line, and keep it with the figures of the piece."""
        self._notes.append(text)
        self.say(text)

    def _run(self, piece: Piece) -> None:
        name, needs = f"{piece.part}: {piece.name}", piece.needs * self.hurry
        if needs and self.left < needs:
            return self._miss("skipped", name, f"needs {needs:.0f} s, {max(0, self.left):.0f} s are left")
        began, self._notes = time.monotonic(), []
        try:
            found = piece.work()
        except Skip as error:
            self._miss("skipped", name, str(error))
        except Exception as error:  # the other pieces can still be measured
            traceback.print_exc(file=sys.stderr)
            self._miss("failed", name, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        else:
            found |= {"took_seconds": round(time.monotonic() - began, 1), "notes": self._notes}
            self.known.setdefault(piece.part, {})[piece.name] = found
            self._write(piece.part, {"pieces": self.known[piece.part]})
            self.say(f"{name}: {json.dumps(found)}")
        release_memory()

    def _miss(self, how: str, name: str, why: str) -> None:
        self.missing[how][name] = why
        self.say(f"{name}: {how}, {why}")

    def _write_summary(self, pieces: Sequence[Piece]) -> None:
        done = [f"{piece.part}: {piece.name}" for piece in pieces if piece.name in self.known.get(piece.part, {})]
        times = {"seconds": self._seconds, "used": round(self._seconds - self.left, 1)}
        self._write("summary", {**times, "done": done, **self.missing})

    def _write(self, name: str, figures: Figures) -> None:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({"machine": self.machine, **figures}, indent=1) + "\n")


def release_memory() -> None:
    """Give back what the last piece held: its tensors, and its compiled functions, whose number torch limits."""
    import torch

    torch.compiler.reset()
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory() -> Figures:
    """GB of GPU memory at most since the last `release_memory`: of tensors, and with what the allocator holds."""
    import torch

    if not torch.cuda.is_available():
        return {}
    found = {"peak_gb": torch.cuda.max_memory_allocated(), "reserved_gb": torch.cuda.max_memory_reserved()}
    return {name: round(value / 1e9, 2) for name, value in found.items()}


class Timing:
    """A bar that knows how fast it advances, and stops what would not end in time.

    at_once: most units of one advance
    """

    def __init__(self, lease: Lease, total: int, what: str, reserve: float):
        self._lease, self._what, self._reserve = lease, what, reserve
        self.total, self.done, self.at_once = total, 0, 0
        self._first: tuple[float, int] | None = None  # after what is compiled at the first call
        self._quarter: tuple[float, int] | None = None
        self._end = 0.0

    def advance(self, count: int = 1, **figures: float | str) -> None:
        """Count units; raises Skip if the others take longer than there is time."""
        if count < 0:  # out of memory: fewer at once begin again
            self.at_once, self._first, self._quarter = 0, None, None
        self.done, self.at_once = self.done + count, max(self.at_once, count)
        now = time.monotonic()
        if self._first is None:
            self._first = (now, self.done)
        if self._quarter is None and 4 * self.done >= self.total:
            synchronise()
            self._quarter = (time.monotonic(), self.done)
        seconds, units = now - self._first[0], self.done - self._first[1]
        rest = seconds / units * (self.total - self.done) if units and seconds > SETTLED else 0.0
        left = self._lease.left - self._reserve
        if self.done < self.total and rest > left:
            raise Skip(f"{self._what} takes {rest:.0f} s more, {max(0, left):.0f} s are left")

    def end(self) -> None:
        """Note when the last unit was done."""
        synchronise()
        self._end = time.monotonic()

    @property
    def rate(self) -> float:
        """Units a second in the last three quarters."""
        assert self._quarter is not None
        return (self.done - self._quarter[1]) / (self._end - self._quarter[0])


class Watch:
    """Receives the progress of a stage, and times its bars.

    reserve: seconds of the lease that the stage must leave to others, if it is no tiny one
    """

    def __init__(self, lease: Lease, reserve: float = 0.0):
        self._lease, self._reserve = lease, lease.hurry * reserve
        self.bars: dict[str, Timing] = {}

    def note(self, message: str) -> None:
        self._lease.note(message)

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Timing]:
        timing = self.bars[what] = Timing(self._lease, total - done, what, self._reserve)
        yield timing
        timing.end()
