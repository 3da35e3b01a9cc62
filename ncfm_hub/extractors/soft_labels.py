"""Soft labels: class probabilities of the published images, predicted by the trained extractors."""

from collections.abc import Sequence

import torch

from ncfm_hub.extractors.pool import Pool
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import build_network, normalise
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.networks.trainer import fill_up
from ncfm_hub.utils.progress import Progress, Silent


@torch.no_grad()
def soft_labels(
    images: torch.Tensor,
    pool: Pool,
    engine: Engine,
    at_once: int = 128,
    progress: Progress | None = None,
    classes: Sequence[str] | None = None,
) -> torch.Tensor:
    """Average the probabilities of the trained pool members at temperature 1, without augmentation, in eval mode.

    images: uint8 (M, c, H, W)
    classes: names of C of the pool's classes, over which probabilities are renormalised; None: all of the pool's
    Returns float32 (M, C) on the CPU, rows summing to one.
    """
    network = FrozenNetwork(build_network(pool.architecture), engine)
    total = torch.zeros(len(images), pool.architecture.classes, dtype=torch.float64)
    with (progress or Silent()).bar(len(pool.members), "soft labels") as bar:
        for _, trained in pool.members:
            forward = network.bind(trained)
            for first in range(0, len(images), at_once):
                part = images[first : first + at_once]
                _, logits = forward(normalise(fill_up(part, at_once).to(engine.device), pool.architecture))
                total[first : first + len(part)] += logits[: len(part)].double().softmax(1).cpu()
            bar.advance()
    if classes is not None:
        total = total[:, pool.positions(classes)]
    return (total / total.sum(1, keepdim=True)).float()
