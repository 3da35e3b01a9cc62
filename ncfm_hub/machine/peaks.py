"""The largest GPU memory in use by stage of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Peaks:
    """Bytes of GPU memory that tensors took at most, by stage; empty on a CPU."""

    def __init__(self, device: torch.device):
        self.device, self.bytes = device, dict[str, int]()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Record the peak of the block."""
        if self.device.type != "cuda":
            yield
            return
        torch.cuda.reset_peak_memory_stats(self.device)
        try:
            yield
        finally:
            self.bytes[stage] = torch.cuda.max_memory_allocated(self.device)
