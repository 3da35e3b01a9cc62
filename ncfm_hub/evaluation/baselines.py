"""Coreset baselines: real images selected at the same storage budget as a distilled dataset.

Legend: N images of a class, D features, K pool members, C classes. Selected images are ordered by class, `ipc` each.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from ncfm_hub.extractors.pool import Pool
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import build_network, normalise
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.networks.trainer import fill_up
from ncfm_hub.sources.types import ImageSet, Source
from ncfm_hub.utils.progress import Bar, Progress, Silent
from ncfm_hub.utils.seeding import generator

CHOSEN_BY_EXTRACTORS = ("herding", "k-center", "el2n")
_AT_ONCE = 128


def select(
    name: str,
    source: Source,
    ipc: int,
    seed: int,
    pool: Pool | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """Select `ipc` real images per class at full size by "random", "herding", "k-center" or "el2n".

    All but "random" use features or logits of the trained members of `pool`. A class with fewer images gives all of
    them and repeats some, sampled by `seed` and its label in the source.
    """
    if name == "random":
        return random_images(source, ipc, seed)
    assert pool is not None
    assert engine is not None
    chosen = []
    looks = len(pool.members) if name == "el2n" else 1
    with (progress or Silent()).bar(looks * len(source.train.labels), f"choosing: {name}") as bar:
        view = _View(pool, engine, bar)
        outputs, labels = pool.positions(source.info.class_names), source.info.class_ids
        for rows, output, label in zip(source.class_indices(), outputs, labels, strict=True):
            found = rows[_choose(name, source.train.images[rows], output, min(ipc, len(rows)), view)]
            again = torch.randint(len(rows), (ipc - len(found),), generator=generator(seed, name, label))
            chosen.append(torch.cat([found, rows[again]]))
    every = torch.cat(chosen)
    return ImageSet(source.train.images[every], source.train.labels[every])


def random_images(source: Source, ipc: int, seed: int) -> ImageSet:
    """Sample `ipc` real images per class at full size, ordered by class; with replacement if a class has fewer."""
    chosen = []
    for rows, label in zip(source.class_indices(), source.info.class_ids, strict=True):
        draws = generator(seed, "random images", label)
        if len(rows) >= ipc:
            chosen.append(rows[torch.randperm(len(rows), generator=draws)[:ipc]])
        else:
            chosen.append(rows[torch.randint(len(rows), (ipc,), generator=draws)])
    every = torch.cat(chosen)
    return ImageSet(source.train.images[every], source.train.labels[every])


def herding(features: torch.Tensor, count: int) -> torch.Tensor:
    """Select rows greedily so that their mean stays closest to the overall mean (Welling, ICML 2009).

    features: (N, D)
    Returns `count` <= N distinct row numbers, in order of selection.
    """
    features = features.double()
    mean, total = features.mean(0), torch.zeros(features.shape[1], dtype=torch.float64)
    squares = features.square().sum(1)
    left = torch.ones(len(features), dtype=torch.bool)
    taken = []
    for size in range(1, count + 1):
        # |size mean - total - x|^2, up to a constant
        distance = squares - 2 * features @ (size * mean - total)
        row = int(distance.masked_fill(~left, torch.inf).argmin())
        taken.append(row)
        left[row] = False
        total += features[row]
    return torch.tensor(taken)


def k_center(features: torch.Tensor, count: int) -> torch.Tensor:
    """Select rows that cover the class: first the one nearest to the mean, then always the farthest from those taken.

    Source: the greedy 2-approximation of k-center (Gonzalez, 1985; Sener and Savarese, ICLR 2018).

    features: (N, D)
    Returns `count` <= N distinct row numbers, in order of selection.
    """
    features = features.double()
    first = int((features - features.mean(0)).square().sum(1).argmin())
    taken = [first]
    nearest = (features - features[first]).square().sum(1)
    while len(taken) < count:
        nearest[taken] = -1
        row = int(nearest.argmax())
        taken.append(row)
        nearest = torch.minimum(nearest, (features - features[row]).square().sum(1))
    return torch.tensor(taken)


def el2n(logits: torch.Tensor, label: int) -> torch.Tensor:
    """Compute |probabilities - one-hot label| per image: (N, C) -> (N,). Source: Paul et al., NeurIPS 2021."""
    errors = logits.double().softmax(1)
    errors[:, label] -= 1
    return errors.norm(dim=1)


class _View:
    """Features and logits of images under the trained members of a pool."""

    def __init__(self, pool: Pool, engine: Engine, bar: Bar):
        self.pool, self.engine, self.bar = pool, engine, bar
        self.network = FrozenNetwork(build_network(pool.architecture), engine)

    @torch.no_grad()
    def outputs(self, images: torch.Tensor, member: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, D) and logits (N, C) of uint8 images (N, c, H, W), float32 on the CPU."""
        forward = self.network.bind(self.pool.members[member][1])
        features, logits = [], []
        for first in range(0, len(images), _AT_ONCE):
            part = images[first : first + _AT_ONCE]
            found = forward(normalise(fill_up(part, _AT_ONCE).to(self.engine.device), self.pool.architecture))
            features.append(found[0][: len(part)].cpu())
            logits.append(found[1][: len(part)].cpu())
            self.bar.advance(len(part))
        return torch.cat(features), torch.cat(logits)


def _choose(name: str, images: torch.Tensor, output: int, count: int, view: _View) -> torch.Tensor:
    """Return row numbers of `count` images of a class, given its output position in the pool's networks."""
    if name == "el2n":  # hardest first
        scores = [el2n(view.outputs(images, member)[1], output) for member in range(len(view.pool.members))]
        return torch.stack(scores).mean(0).argsort(descending=True, stable=True)[:count]
    method: Callable[[torch.Tensor, int], torch.Tensor] = {"herding": herding, "k-center": k_center}[name]
    return method(F.normalize(view.outputs(images, 0)[0], dim=1), count)
