"""torch.compile, of which a user need not know: the wait is announced, and what cannot be compiled runs as it is."""

from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate.utils.memory import should_reduce_batch_size

from ncfm_hub.utils.progress import Progress, Silent

T = TypeVar("T")


class Compiler:
    """Compiles functions for the shapes they will see; says once that it does so on a GPU, and once that it failed."""

    def __init__(self, progress: Progress | None = None):
        self._progress = progress or Silent()
        self._said: set[str] = set()

    def compiled(self, function: Callable[..., T], device: torch.device) -> Callable[..., T]:
        """Return the function, compiled at its first call; if that fails, it stays as it is."""
        chosen: Callable[..., T] = torch.compile(function, dynamic=False)
        has_run = False

        def call(*given: object) -> T:
            nonlocal chosen, has_run
            if has_run:  # from now on errors are those of the work, as is a CUDA graph that cannot be captured
                return chosen(*given)
            if device.type == "cuda":
                self._say("compiling for this GPU, 15 to 30 s")
            try:
                answer = chosen(*given)
            except Exception as error:  # of a compiler there is no list
                if should_reduce_batch_size(error):
                    raise
                self._say("torch.compile failed here; going on without it, more slowly", error)
                chosen = function
            else:
                has_run = True
                return answer
            return function(*given)

        return call

    def _say(self, what: str, error: Exception | None = None) -> None:
        if what not in self._said:
            self._said.add(what)
            reason = "" if error is None else f" ({' '.join(str(error).split())[:200]})"
            self._progress.note(what + reason)
