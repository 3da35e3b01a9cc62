"""Statistics of the real side, computed once and used again by later steps and later runs.

An entry is one draw of everything the real side depends on: hybrid extractor, frequencies, and for every class real
images and their augmentation. An entry's seed is the bank's and its number, so that frequencies and augmentations are
drawn again in place of being kept. Steps visit all entries in an order of the run's own, then all in another order.
Runs that share a bank share its real draws: their results are less independent than their seeds suggest.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ncfm_hub.engine import Engine
from ncfm_hub.errors import CheckpointError
from ncfm_hub.files import cache_root, whole_file
from ncfm_hub.progress import Progress
from ncfm_hub.randomness import generator


class Bank:
    """`entries` files of statistics (C, S) fp16 under one key.

    made_of: all that the statistics depend on, as JSON can say it
    """

    def __init__(self, entries: int, seed: int, made_of: dict[str, Any], engine: Engine):
        self.entries, self.seed, self.engine = entries, seed, engine
        key = hashlib.sha256(json.dumps(made_of | {"seed": seed}, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = cache_root() / "banks" / key

    def entry(self, run_seed: int, step: int) -> int:
        """The entry that a step uses."""
        round_, place = divmod(step, self.entries)
        order = torch.randperm(self.entries, generator=generator(run_seed, "order of the bank", self.seed, round_))
        return int(order[place])

    def fill(self, steps: int, run_seed: int, compute: Callable[[int], torch.Tensor], progress: Progress) -> None:
        """Have `compute(entry)` -> (C, S) make what is missing for a run's steps, shared among processes."""
        process, processes = self.engine.accelerator.process_index, self.engine.accelerator.num_processes
        visited = sorted({self.entry(run_seed, step) for step in range(min(steps, self.entries))})
        # By number and not by what is missing, which another process may be changing just now.
        mine = [entry for entry in visited[process::processes] if not self._is_whole(entry)]
        with progress.bar(len(mine), "filling the bank") as bar:
            for entry in mine:
                with whole_file(self._path(entry)) as path:
                    save_file({"statistics": compute(entry).to(torch.float16).cpu()}, path)
                bar.advance()
        self.engine.accelerator.wait_for_everyone()

    def statistics(self, entry: int) -> torch.Tensor:
        """(C, S) float32 on the engine's device."""
        try:
            found = load_file(self._path(entry))["statistics"]
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{self._path(entry)}, an entry of the bank, is gone or not readable ({error}); go on with --resume, "
                "which makes it again"
            ) from None
        return found.to(self.engine.device, torch.float32)

    def _is_whole(self, entry: int) -> bool:
        try:
            with safe_open(self._path(entry), "pt") as stored:  # reads the header, and that all of the file is there
                return "statistics" in stored.keys()  # noqa: SIM118 (not a mapping)
        except (OSError, SafetensorError):
            return False

    def _path(self, entry: int) -> Path:
        return self.folder / f"{entry:05d}.safetensors"
