"""How long a Hub that keeps failing is borne with: two minutes, whatever asks it and however often."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import uniform
from threading import Timer

from ncfm_hub.errors import HubUnavailable, HubUnreachable
from ncfm_hub.utils.progress import Progress, Silent

CEILING = 120.0  # seconds from the first failure until a Hub is given up, unless it answers in between
NOTE_SECONDS = 5.0  # what is waited for longer than this is said
FIRST_PAUSE = 1.0  # seconds; doubled after each failure
LONGEST_PAUSE = 30.0

# Hubs that were reached in this process. Where one never was, it is the network that fails: waiting does not mend it.
_reached: set[str] = set()


# Who is told what is waited for; the last one speaks.
_speakers: list[Progress] = []


@contextmanager
def speaking(progress: Progress | None) -> Iterator[None]:
    """Have `progress` say what is waited for meanwhile; one that is silent leaves it to whoever was told before."""
    heard = [] if progress is None or type(progress) is Silent else [progress]
    _speakers.extend(heard)
    try:
        yield
    finally:
        for speaker in heard:
            _speakers.remove(speaker)


class Patience:
    """What is left of it, for all requests that are made meanwhile."""

    def __init__(self) -> None:
        self._since: float | None = None  # of the first failure
        self._last = 0.0  # of the last one
        self._why = ""
        self._holds = 0
        self._unreached: set[str] = set()

    def note(self, message: str) -> None:
        """Tell whoever came last, if anybody."""
        for speaker in _speakers[-1:]:
            speaker.note(message)

    @contextmanager
    def said(self, what: str) -> Iterator[None]:
        """Say what is being waited for if it takes long."""
        timer = Timer(NOTE_SECONDS, lambda: self.note(what))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def knows(self, place: str) -> bool:
        """Whether this Hub was ever reached."""
        return place in _reached

    def left(self) -> float:
        """Seconds until the Hub is given up."""
        return CEILING - (0.0 if self._since is None else time.monotonic() - self._since)

    def check(self, place: str) -> float:
        """Seconds left. Raises HubUnavailable if there are none, or if `place` could not be reached before."""
        if place in self._unreached:
            raise HubUnreachable(f"cannot reach the Hub at {place} ({self._why}); check the network and any proxy")
        if not self._holds and time.monotonic() - self._last > 2 * LONGEST_PAUSE:
            self._since = None  # whoever met that failure did something else than try again
        left = self.left()
        if left <= 0:
            raise HubUnavailable(f"the Hub at {place} kept failing for {CEILING:.0f} s ({self._why}); try again later")
        return left

    def failed(self, place: str, started: float, why: str, reached: bool) -> bool:
        """A request that began at `started` came to nothing. Whether this Hub was ever reached."""
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
        """A request was answered: the clock starts anew, unless the action that it is part of keeps failing."""
        _reached.add(place)
        if not self._holds:
            self._since = None

    def passes(self, attempt: int, why: str, asked: Mapping[str, str], first: float | None = None) -> bool:
        """Wait before the next attempt; False, at once, if there is no patience left for that.

        asked: the headers of the Hub's answer, which may say for how long.
        """
        named = asked.get("retry-after", "")
        # Jitter, so that several that collided once do not collide for ever.
        usual = min((first or FIRST_PAUSE) * 2 ** (attempt - 1), LONGEST_PAUSE) * uniform(0.75, 1.25)
        seconds = float(named) if named.isdigit() else usual
        left = self.left()
        if seconds >= left:
            return False
        self.note(f"{why}; trying again in {seconds:.0f} s (giving up in {left:.0f} s)")
        time.sleep(seconds)
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """While something is tried again as a whole, that parts of it succeed is no news: the clock runs on."""
        if self._since is None:
            self._since = time.monotonic()
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._since = None
