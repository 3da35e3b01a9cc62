"""What a distilled set is compared with at the same number of stored images."""

import torch

from ncfm_hub.randomness import generator
from ncfm_hub.sources.types import ImageSet, Source


def random_images(source: Source, ipc: int, seed: int) -> ImageSet:
    """`ipc` real images of every class at full size, class after class; with replacement where a class is smaller."""
    chosen = []
    for index, rows in enumerate(source.class_indices()):
        draws = generator(seed, "random images", index)
        if len(rows) >= ipc:
            chosen.append(rows[torch.randperm(len(rows), generator=draws)[:ipc]])
        else:
            chosen.append(rows[torch.randint(len(rows), (ipc,), generator=draws)])
    every = torch.cat(chosen)
    return ImageSet(source.train.images[every], source.train.labels[every])
