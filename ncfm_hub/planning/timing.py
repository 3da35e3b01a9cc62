"""Time a call by doing it; imports nothing heavy."""

import statistics
import time
from collections.abc import Callable

SECONDS = 0.3  # that a call is repeated for


def seconds_a_call(call: Callable[[], object]) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    call()
    taken: list[float] = []
    until = time.perf_counter() + SECONDS
    while not taken or time.perf_counter() < until:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
