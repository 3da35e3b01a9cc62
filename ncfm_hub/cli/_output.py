"""Output of commands: results to stdout, everything else to stderr, progress bars only on a terminal."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import click

from ncfm_hub.cli._secrets import scrub
from ncfm_hub.utils.launchers import is_alone, is_first_process
from ncfm_hub.utils.progress import Bar

Format = Literal["human", "json", "quiet"]
FORMATS = ("human", "json", "quiet")
_PLAIN_EVERY = 30.0  # seconds between lines in place of a bar without a terminal


class Output:
    """The only place that prints; also the `Progress` that the library reports to."""

    def __init__(self, format: Format = "human"):
        self.format = format
        self.speaks = is_first_process()
        self.alone = is_alone()
        self.live = self.speaks and format == "human" and sys.stderr.isatty()
        self._bars = 0
        if not self.live:  # silences progress bars of other libraries
            os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
            os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

    def result(self, data: Any, lines: Sequence[str], quiet: str = "") -> None:
        """Print a command's result without tokens.

        lines: for people; data: as one JSON value; quiet: one word for scripts
        """
        if self.format == "json":
            text = json.dumps(data, ensure_ascii=False, default=str)
        else:
            text = "\n".join(lines) if self.format == "human" else quiet
        if text and self.speaks:
            click.echo(scrub(text))

    def note(self, message: str) -> None:
        """Print one line on stderr, unless quiet."""
        if self.format != "quiet":
            self.warn(message)

    def rehearsed(self, dry_run: bool) -> None:
        """Say after a dry run that the result is what would be written."""
        if dry_run:
            self.note("dry run: nothing was written")

    def warn(self, message: str) -> None:
        """Print one line on stderr, whatever the format."""
        if not self.speaks:
            return
        if self._bars:
            from tqdm import tqdm

            tqdm.write(scrub(message), file=sys.stderr)
        else:
            click.echo(scrub(message), err=True)

    def confirm(self, question: str) -> None:
        """Ask for confirmation, if there is a terminal to answer on."""
        if self.live and self.alone and sys.stdin.isatty():
            click.confirm(question, default=True, abort=True, err=True)

    def allows(self, question: str) -> bool:
        """Return whether the user says yes; False without a terminal to answer on."""
        if not (self.live and self.alone and sys.stdin.isatty()):
            return False
        return click.confirm(question, default=False, err=True)

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        """Open a bar with rate, time left and the latest figures; prints plain lines without a terminal."""
        if not self.live:
            yield _PlainBar(self, total, what, done)
            return
        from tqdm import tqdm

        with tqdm(total=total, desc=what, initial=done, file=sys.stderr, dynamic_ncols=True) as bar:
            self._bars += 1
            try:
                yield _LiveBar(bar)
            finally:
                self._bars -= 1


class _LiveBar:
    def __init__(self, bar: Any):
        self._bar = bar

    def advance(self, count: int = 1, **figures: float | str) -> None:
        if figures:
            self._bar.set_postfix(figures, refresh=False)
        self._bar.update(count)


class _PlainBar:
    """Prints progress every half minute, and once at the end."""

    def __init__(self, out: Output, total: int, what: str, done: int):
        self._out, self._total, self._what = out, total, what
        self._first = self._done = done
        self._start = self._said = time.monotonic()

    def advance(self, count: int = 1, **figures: float | str) -> None:
        self._done += count
        now = time.monotonic()
        finished = self._done >= self._total
        if not finished and now - self._said < _PLAIN_EVERY:
            return
        self._said = now
        spent = now - self._start
        left = spent / max(self._done - self._first, 1) * (self._total - self._done)
        clock = (
            f"in {rough_duration(spent)}" if finished else f"after {rough_duration(spent)}, {rough_duration(left)} left"
        )
        latest = "".join(f", {key}={_figure(value)}" for key, value in figures.items())
        self._out.note(f"{self._what}: {self._done}/{self._total} {clock}{latest}")


def rough_duration(seconds: float) -> str:
    """Format as `42 s`, `13 min` or `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _figure(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
