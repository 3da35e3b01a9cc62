"""Work on as many things at once as a GPU's memory holds, and on fewer where it runs out."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from ncfm_hub.utils.progress import Progress

J = TypeVar("J")
R = TypeVar("R")


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU, those included that PyTorch keeps for its next tensors."""
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def in_groups(jobs: Sequence[J], at_once: int) -> list[Sequence[J]]:
    """Divide jobs, in their order, into groups of `at_once`; the last may be smaller."""
    return [jobs[first : first + at_once] for first in range(0, len(jobs), at_once)]


def halving(
    groups: Iterable[Sequence[J]], work: Callable[[Sequence[J]], R], progress: Progress
) -> Iterator[tuple[Sequence[J], R]]:
    """Yield each group and the result of `work`; out of memory halves that group and those after it, said once.

    Any other RuntimeError of several networks at once, as of an operation that a GPU lacks, leaves one after another.

    work: starts from the beginning at every call. What it raises for a group of one is raised.
    """
    waiting, said = deque(groups), False
    while waiting:
        group = waiting.popleft()
        try:
            result = work(group)
        except RuntimeError as error:
            if len(group) == 1:
                raise
            full, reason = should_reduce_batch_size(error), " ".join(str(error).split())[:200]
        else:
            yield group, result
            continue
        # Only now, as the error held the tensors of the group.
        clear_device_cache(garbage_collection=True)
        if not full:
            progress.note(f"{len(group)} networks cannot be trained at once here ({reason}); one after another instead")
        elif not said:
            progress.note(f"out of memory with {len(group)} networks at once: beginning again with fewer")
            said = True
        most = (len(group) + 1) // 2 if full else 1
        waiting = deque(part for whole in (group, *waiting) for part in in_groups(whole, most))
