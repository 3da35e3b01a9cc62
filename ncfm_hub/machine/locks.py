"""Locks in the cache, held by all processes of one run together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ncfm_hub.machine.engine import Engine
from ncfm_hub.utils.progress import Progress


@contextmanager
def one_run(path: Path, engine: Engine, progress: Progress, doing: str) -> Iterator[None]:
    """Hold the lock file `path` for all processes of this run, until the last one leaves.

    The main process acquires it, with a note if another run is `doing` what it waits for; the others wait for the main
    one. The lock is released when the process ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)

    def take() -> None:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            progress.note(f"another run is {doing}; waiting for it")
            lock.acquire()

    engine.decide_once(take)
    try:
        yield
        engine.accelerator.wait_for_everyone()
    finally:
        lock.release()
