"""Precomputed statistics of the real side, reused by later steps and later runs.

An entry fixes everything that the real side depends on: hybrid extractor, frequencies, and for each class real images
and their augmentation. It is seeded by the bank's seed and its number, so that frequencies and augmentations are
sampled again rather than stored. Steps visit all entries in a run-specific order, then all in another order. Runs that
share a bank share its random draws, so their results are less independent than their seeds suggest.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.errors import CheckpointError, Damaged
from ncfm_hub.machine.engine import Engine
from ncfm_hub.utils.files import cache_root
from ncfm_hub.utils.progress import Progress
from ncfm_hub.utils.sealed import discard_damaged, load_tensors, save_tensors
from ncfm_hub.utils.seeding import generator

BANK_FORMAT = 2


class Bank:
    """`entries` files of statistics (C, S), fp16, under one key.

    made_of: everything that the statistics depend on, JSON-serialisable
    """

    def __init__(self, entries: int, seed: int, made_of: dict[str, Any], engine: Engine):
        self.entries, self.seed, self.engine = entries, seed, engine
        described = made_of | {"seed": seed, "format": BANK_FORMAT}
        key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = cache_root() / "banks" / key

    def entry(self, run_seed: int, step: int) -> int:
        """Return the entry that a step uses."""
        round_, place = divmod(step, self.entries)
        order = torch.randperm(self.entries, generator=generator(run_seed, "order of the bank", self.seed, round_))
        return int(order[place])

    def fill(self, steps: int, run_seed: int, compute: Callable[[int], torch.Tensor], progress: Progress) -> None:
        """Compute missing entries for a run's steps with `compute(entry)` -> (C, S), shared among processes."""
        process, processes = self.engine.accelerator.process_index, self.engine.accelerator.num_processes
        visited = sorted({self.entry(run_seed, step) for step in range(min(steps, self.entries))})
        # Shared out by number: the list of missing entries may change while other processes fill it.
        mine = visited[process::processes]
        for entry in mine:
            discard_damaged(self._path(entry), progress)
        mine = [entry for entry in mine if not self._path(entry).is_file()]
        with progress.bar(len(mine), "filling the bank") as bar:
            for entry in mine:
                save_tensors(self._path(entry), {"statistics": compute(entry).to(torch.float16)})
                bar.advance()
        self.engine.accelerator.wait_for_everyone()

    def statistics(self, entry: int) -> torch.Tensor:
        """Return statistics (C, S), float32 on the engine's device."""
        try:
            found = load_tensors(self._path(entry))[0]["statistics"]
        except (OSError, Damaged) as error:
            raise CheckpointError(
                f"{self._path(entry)}, an entry of the bank, is gone or damaged ({error}); go on with --resume, "
                "which makes it again"
            ) from None
        return found.to(self.engine.device, torch.float32)

    def _path(self, entry: int) -> Path:
        return self.folder / f"{entry:05d}.safetensors"
