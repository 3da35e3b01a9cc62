"""The initialisation: real images of each class, shrunk and tiled."""

import torch

from ncfm_hub.matching.synthetic import mixed_tiles
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.seeding import generator


def start_rows(source: Source, class_index: int, ipc: int, factor: int, seed: int) -> torch.Tensor:
    """Return rows of `source.train` that tile a class's initialisation: (ipc rho^2,); a small class repeats some.

    Keyed by the class's label in the source, independent of the other classes.
    """
    rows = source.class_indices()[class_index]
    wanted = ipc * factor**2
    draws = generator(seed, "start", source.info.class_ids[class_index])
    if len(rows) >= wanted:
        return rows[torch.randperm(len(rows), generator=draws)[:wanted]]
    return rows[torch.randint(len(rows), (wanted,), generator=draws)]


def make_start(source: Source, ipc: int, factor: int, seed: int) -> torch.Tensor:
    """Build the initialisation (real tiles): (C ipc, c, H, W) float32 in [0, 1]."""
    classes = range(len(source.info.class_names))
    return torch.cat(
        [mixed_tiles(source.train.images[start_rows(source, c, ipc, factor, seed)], factor) for c in classes]
    )
