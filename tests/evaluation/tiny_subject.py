"""A subject that takes no time: noise as the distilled dataset, a source of stripes, students of a few updates."""

import torch

from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.recipes.resolve import load_pipeline
from tests.matching.tiny import plain_engine, tiny_source

UPDATES, BATCH = 2, 8


def tiny_subject(classes: int = 5, ipc: int = 2, factor: int = 2, seed: int = 0, size: int = 8) -> Subject:
    """Class-ordered noise with random soft labels, `ipc * factor**2` images a class."""
    draws = torch.Generator().manual_seed(seed)
    source = tiny_source(per_class=6, classes=classes, size=size)
    labels = torch.arange(classes).repeat_interleave(ipc * factor**2)
    soft = torch.rand(len(labels), classes, generator=draws)
    changed = {"evaluation.updates": UPDATES, "evaluation.batch_size": BATCH, "evaluation.schedule": "fifths"}
    changed |= {"distillation.seed": seed}
    return Subject(
        name="sets/tiny",
        images=torch.randint(0, 256, (len(labels), 3, size, size), dtype=torch.uint8, generator=draws),
        labels=labels,
        soft_labels=soft / soft.sum(1, keepdim=True),
        ipc=ipc,
        stored=classes * ipc,
        factor=factor,
        source=source,
        recipe=load_pipeline("digits", preset="cpu", overrides=changed).recipe,
        engine=plain_engine(),
        parts=1,
    )
