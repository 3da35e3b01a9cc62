"""A complete distillation: all steps, with regular checkpoints."""

import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.distillation.checkpoints import load_checkpoint, save_checkpoint
from ncfm_hub.distillation.conditions import conditions_of
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.distillation.settings import DistillationSettings
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.machine.engine import Engine
from ncfm_hub.matching.characteristic import ncfd_floor
from ncfm_hub.matching.step import NCFD_WEIGHT
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.progress import Progress, Silent

SHOWN_EVERY = 20  # steps, on a GPU


@dataclass
class Distillation:
    """A finished (or interrupted) distillation.

    start, stored: (C ipc, c, H, W) float32 in [0, 1], on the CPU, ordered by class: initialisation and result
    curve: per step (300 NCFD, cross-entropy of the calibration), means over classes
    """

    start: torch.Tensor
    stored: torch.Tensor
    curve: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0


@lru_cache  # many classes have few distinct sizes
def floor_of(real_batch: int, images_per_class: int, alpha: float) -> float:
    """Return 300 NCFD expected between two samples of one distribution of these sizes, to compare with the loss."""
    return NCFD_WEIGHT * ncfd_floor(real_batch, images_per_class, alpha)


def distill_images(
    source: Source,
    pool: Pool,
    settings: DistillationSettings,
    engine: Engine,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Distillation:
    """Distill C ipc stored images by NCFM.

    checkpoint: file that receives the state every `settings.checkpoint_every` steps
    resume: continue from that file if it exists
    Raises CheckpointError if it was written under other settings.
    """
    progress = progress or Silent()
    shared = checkpoint_settings(source, pool, settings, engine)
    done, before = 0, 0.0
    kept: dict[str, torch.Tensor] | None = None
    if resume and checkpoint is not None and checkpoint.is_file():
        kept, done, before = load_checkpoint(checkpoint, shared)
        progress.note(f"resuming from step {done} of {settings.steps}")
    began = time.perf_counter() - before  # a resumed run took as long as all its parts
    distiller = Distiller(source, pool, settings, engine, progress)
    if kept is not None:
        distiller.restore(kept)
    with progress.bar(settings.steps, "distilling", done) as bar:
        for number in range(done, settings.steps):
            losses, last = distiller.step(number), number + 1 == settings.steps
            if last or engine.device.type == "cpu" or number % SHOWN_EVERY == 0:  # reading waits for the device
                ncfd, entropy = losses.tolist()
                bar.advance(loss=ncfd + settings.calibration * entropy, ncfd=ncfd)
            else:
                bar.advance()
            due = (number + 1) % settings.checkpoint_every == 0 or last
            if due and checkpoint is not None and engine.accelerator.is_main_process:
                spent = time.perf_counter() - began
                save_checkpoint(checkpoint, distiller.tensors(), number + 1, spent, shared)
    stored = distiller.stored.detach().cpu()
    return Distillation(distiller.start, stored, distiller.curve, time.perf_counter() - began)


def checkpoint_settings(source: Source, pool: Pool, settings: DistillationSettings, engine: Engine) -> dict[str, Any]:
    """Return what two runs must share for the same images: bit for bit on a CPU, within a tolerance on a GPU.

    There the sizes of units and passes, which follow the free memory and the number of processes, may differ.
    """
    sizes = {"classes_at_once", "images_at_once", "decoded_at_once"} if engine.device.type == "cuda" else set()
    values = settings.model_dump(exclude={"checkpoint_every", *sizes})
    return {"distillation": values} | conditions_of(source, pool, engine)
