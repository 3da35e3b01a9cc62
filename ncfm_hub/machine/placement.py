"""Where large tensors lie that every step reads a part of: on the GPU where they fit, else in the main memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from ncfm_hub.machine.engine import Engine
from ncfm_hub.utils.progress import Progress

SHARE = 4  # a tensor lies on the GPU if it takes at most one part in so many of the free memory


def fits(tensors: Sequence[torch.Tensor], device: torch.device) -> bool:
    """Return whether tensors are to lie on this device for as long as they are used."""
    if device.type != "cuda":
        return True
    return sum(tensor.nbytes for tensor in tensors) <= torch.cuda.mem_get_info(device)[0] // SHARE


def describe_placement(images: int | None, engine: Engine) -> str:
    """Say where a run computes, and on a GPU whether `images` bytes of source images will lie on it (None: unknown)."""
    machine = engine.describe()
    said = f"{engine.device} ({machine['description']}, {machine['precision']})"
    if engine.device.type != "cuda":
        return said
    free, total = torch.cuda.mem_get_info(engine.device)
    said += f", {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if images is None:
        return said
    place = "on it" if images <= free // SHARE else f"in the main memory, being over 1/{SHARE} of that"
    return f"{said}; source images ({images / 1e9:.2f} GB) {place}"


class Fetched:
    """Rows of a tensor in the main memory, fetched one call ahead: the next ones are copied while the device works.

    choose: the rows of call `number`, as int64 on the CPU
    """

    def __init__(
        self, tensor: torch.Tensor, choose: Callable[[int], torch.Tensor], device: torch.device, progress: Progress
    ):
        self._tensor, self._choose, self._device, self._progress = tensor, choose, device, progress
        self._ahead: tuple[int, Future[torch.Tensor]] | None = None
        self._pins = device.type == "cuda"
        self._thread = ThreadPoolExecutor(1) if device.type == "cuda" else None

    def rows(self, number: int) -> torch.Tensor:
        """Return the rows of call `number`, and begin to fetch those of the next."""
        if self._thread is None:
            return self._read(number).to(self._device)
        ahead = self._ahead  # not there at the first call, and of another number in one out of order
        found = ahead[1].result() if ahead is not None and ahead[0] == number else self._read(number)
        self._ahead = (number + 1, self._thread.submit(self._read, number + 1))
        return found.to(self._device, non_blocking=True)

    def _read(self, number: int) -> torch.Tensor:
        found = self._tensor[self._choose(number)]
        if self._pins:
            try:  # from pinned memory a copy does not wait for the host
                return found.pin_memory()
            except RuntimeError as error:
                self._pins = False
                reason = " ".join(str(error).split())[:200]
                self._progress.note(f"no pinned memory here ({reason}); images are copied more slowly")
        return found
