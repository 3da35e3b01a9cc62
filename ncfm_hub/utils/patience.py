"""How long to wait for a failing Hub: two minutes in total, over all requests."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import uniform
from threading import Timer

from ncfm_hub.errors import HubUnavailable, HubUnreachable
from ncfm_hub.utils.progress import Progress, Silent

CEILING = 120.0  # seconds from the first failure until giving up, unless a request succeeds in between
NOTE_SECONDS = 5.0  # waits longer than this are reported
FIRST_PAUSE = 1.0  # seconds; doubled after each failure
LONGEST_PAUSE = 30.0

# Hubs reached in this process. If one never was, the network is at fault, and waiting does not help.
_reached: set[str] = set()


# Receivers of notes about waiting; the last one is used.
_speakers: list[Progress] = []


@contextmanager
def speaking(progress: Progress | None) -> Iterator[None]:
    """Report waiting to `progress` inside the context; a silent one leaves reporting to the enclosing one."""
    heard = [] if progress is None or type(progress) is Silent else [progress]
    _speakers.extend(heard)
    try:
        yield
    finally:
        for speaker in heard:
            _speakers.remove(speaker)


def _asked_for(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds a Hub asks to wait; None if it does not say."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)  # huggingface.co sends these instead of Retry-After
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0  # stated in whole seconds, rounded down
    named = headers.get("retry-after", "")
    return float(named) if named.isdigit() else None


def unreachable(place: str, why: str) -> str:
    """Describe in one line that a Hub at `place` cannot be reached."""
    return f"cannot reach the Hub at {place} ({why}); check the network, any proxy and HF_ENDPOINT"


class Patience:
    """Remaining time to wait for a Hub, shared by all requests."""

    def __init__(self) -> None:
        self._since: float | None = None  # time of the first failure
        self._last = 0.0  # time of the last failure
        self._why = ""
        self._holds = 0
        self._unreached: set[str] = set()

    def note(self, message: str) -> None:
        """Report to the innermost receiver, if any."""
        for speaker in _speakers[-1:]:
            speaker.note(message)

    @contextmanager
    def said(self, what: str) -> Iterator[None]:
        """Report what is being waited for if it takes long."""
        timer = Timer(NOTE_SECONDS, lambda: self.note(what))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def knows(self, place: str) -> bool:
        """Return whether this Hub was ever reached."""
        return place in _reached

    def left(self) -> float:
        """Seconds until giving up."""
        return CEILING - (0.0 if self._since is None else time.monotonic() - self._since)

    def check(self, place: str) -> float:
        """Return the seconds left. Raises HubUnavailable if there are none, or `place` was unreachable before."""
        if place in self._unreached:
            raise HubUnreachable(unreachable(place, self._why))
        if not self._holds and time.monotonic() - self._last > 2 * LONGEST_PAUSE:
            self._since = None  # the caller that met that failure did not retry
        left = self.left()
        if left <= 0:
            raise HubUnavailable(f"the Hub at {place} kept failing for {CEILING:.0f} s ({self._why}); try again later")
        return left

    def failed(self, place: str, started: float, why: str, reached: bool) -> bool:
        """Record the failure of a request that began at `started`; returns whether this Hub was ever reached."""
        self._why = why
        self._last = time.monotonic()
        if self._since is None:
            self._since = started
        if reached:
            _reached.add(place)
        elif place not in _reached:
            self._unreached.add(place)
        return place in _reached

    def succeeded(self, place: str) -> None:
        """Record a success, which resets the clock unless the enclosing action keeps failing."""
        _reached.add(place)
        if not self._holds:
            self._since = None

    def passes(self, attempt: int, why: str, asked: Mapping[str, str], first: float | None = None) -> bool:
        """Wait before the next attempt; returns False at once if the time left is too short.

        asked: response headers, which may state how long to wait
        """
        # Jitter, so that clients that collided once do not collide again.
        usual = min((first or FIRST_PAUSE) * 2 ** (attempt - 1), LONGEST_PAUSE) * uniform(0.75, 1.25)
        named = _asked_for(asked)
        seconds = usual if named is None else named
        left = self.left()
        if seconds >= left:
            return False
        self.note(f"{why}; trying again in {seconds:.0f} s (giving up in {left:.0f} s)")
        time.sleep(seconds)
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """While retrying an action as a whole, keep the clock running even if parts of it succeed."""
        if self._since is None:
            self._since = time.monotonic()
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._since = None
