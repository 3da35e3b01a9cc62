"""Run the same work on the same tensors again and again: on a GPU as a CUDA graph, which needs one launch."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from ncfm_hub.utils.progress import Progress

T = TypeVar("T")

# Calls that run as written before the work is captured: they compile and allocate, which a capture must not.
WARM_UP = 3


class FixedTensors:
    """Inputs of repeated work: on a GPU a tensor keeps its address, and new values are copied into it."""

    def __init__(self, device: torch.device):
        self._device, self._copies = device, device.type == "cuda"
        self._kept: dict[str, torch.Tensor] = {}

    def put(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return the tensor of this name, which now holds `value`, on any device."""
        if not self._copies:
            return value
        if name not in self._kept:
            self._kept[name] = value.to(self._device, copy=True)
        return self._kept[name].copy_(value, non_blocking=True)

    def number(self, name: str, value: int) -> int | torch.Tensor:
        """Return a number as the work is to read it: on a GPU a tensor () that now holds it."""
        return self.put(name, torch.tensor(value)) if self._copies else value


class Repeated(Generic[T]):
    """Work without arguments that reads fixed tensors and returns new ones.

    On a GPU the first calls run it as it is, the next captures it, and later ones replay it; what it returns is then
    overwritten by the next call. If it cannot be captured, that is said once and it goes on as it is.
    """

    def __init__(self, work: Callable[[], T], device: torch.device, progress: Progress):
        self._work, self._progress = work, progress
        self._calls, self._captures = 0, device.type == "cuda"
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: T | None = None

    def __call__(self) -> T:
        """Do the work."""
        if self._captures and self._graph is None and self._calls >= WARM_UP:
            self._capture()
        self._calls += 1
        if self._graph is None:
            return self._work()
        self._graph.replay()
        assert self._result is not None
        return self._result

    def forget(self) -> None:
        """Discard the graph, as after a change of the work; it is captured anew."""
        self._graph, self._result, self._calls = None, None, 0

    def _capture(self) -> None:
        try:
            self._graph, self._result = captured(self._work)
        except Exception as error:  # whatever the reason, the work can be done without
            self._captures = False
            reason = " ".join(str(error).split())[:200]
            self._progress.note(f"no CUDA graph of a step here ({reason}); steps are launched one operation at a time")


def captured(work: Callable[[], T]) -> tuple[torch.cuda.CUDAGraph, T]:
    """Capture work that has run before; returns the graph and the tensors that each replay fills."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    # Another thread may allocate pinned memory meanwhile (`machine.placement.Fetched`), which a global mode forbids.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()
    return graph, result
