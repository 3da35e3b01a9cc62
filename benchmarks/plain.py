"""What ours is measured against: algorithm and training as they are commonly written, with no handicap added."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ncfm_hub.distillation.start import make_start
from ncfm_hub.machine.memory import keep_freed_memory
from ncfm_hub.matching.augment import GEOMETRIES, augment, draw_augmentation
from ncfm_hub.matching.philox import Stream
from ncfm_hub.matching.synthetic import decode
from ncfm_hub.networks.build import normalise


def plain_network(classes: int) -> nn.Sequential:
    """ConvNet-3 for 32 px of torch's own parts: features, then the classifier."""
    layers: list[nn.Module] = []
    for channels in (3, 128, 128):
        layers += [nn.Conv2d(channels, 128, 3, padding=1), nn.GroupNorm(128, 128), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(nn.Sequential(*layers, nn.Flatten()), nn.Linear(2048, classes))


class Unkeyed(Stream):
    """Draws from torch's own generator, in the order of use."""

    def word(self) -> torch.Tensor:
        return torch.randint(2**32, self.shape)


def random_geometry() -> int:
    return int(torch.randint(len(GEOMETRIES), ()))


class PlainDistillation:
    """NCFM class after class: the whole real batch of a class in one pass without gradients, one forward and backward
    pass of its synthetic images, one optimiser step over the whole tensor, and the same again for the calibration."""

    def __init__(self, source: Any, architecture: Any, *, ipc: int, factor: int, real: int, frequencies: int, w: float):
        self.source, self.architecture = source, architecture
        self.ipc, self.factor, self.real, self.frequencies, self.w = ipc, factor, real, frequencies, w
        self.rows = source.class_indices()
        nets = [plain_network(len(self.rows)).eval().requires_grad_(False) for _ in range(5)]
        self.members, self.hybrid = (nets[:2], nets[2:4]), nets[4]
        self.stored = make_start(source, ipc, factor, 0).requires_grad_(True)
        self.optimizer = torch.optim.AdamW([self.stored], lr=1e-3)

    def step(self, number: int) -> None:
        init, trained = self.members[number % 2]
        beta = float(torch.rand(()))
        for mixed, first, last in zip(*(net.parameters() for net in (self.hybrid, init, trained)), strict=True):
            mixed.copy_(beta * first + (1 - beta) * last)
        frequencies = torch.randn(self.frequencies, 2048)
        for c, rows in enumerate(self.rows):
            real = self.source.train.images[rows[torch.randperm(len(rows))[: self.real]]]
            geometry = random_geometry()
            with torch.no_grad():
                of_real = self._features(self._augmented(real, geometry))
            of_synthetic = self._features(self._augmented(self._decoded(c), geometry))
            self._update(300 * plain_ncfd(of_real, of_synthetic, frequencies))
        for c in range(len(self.rows)):
            logits = trained(self._augmented(self._decoded(c), random_geometry()))
            self._update(self.w * F.cross_entropy(logits, torch.full((len(logits),), c)))

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.hybrid[0](x), dim=1)

    def _decoded(self, c: int) -> torch.Tensor:
        return decode(self.stored[c * self.ipc : (c + 1) * self.ipc], self.factor)

    def _augmented(self, images: torch.Tensor, geometry: int) -> torch.Tensor:
        random = Unkeyed((0, 0), torch.arange(len(images)))
        draw = draw_augmentation(random, (32, 32), geometry=geometry, flip=self.source.info.channels == 3)
        return augment(normalise(images, self.architecture), draw)

    def _update(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.stored.clamp_(0, 1)


def plain_ncfd(real: torch.Tensor, synthetic: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """NCFD at alpha 1/2 by amplitudes and angles, as the paper prints it: features (N, D) of both sides."""
    phases = [features @ frequencies.T for features in (real, synthetic)]
    parts = [(phase.cos().mean(0), phase.sin().mean(0)) for phase in phases]
    one, other = ((re.square() + im.square() + 1e-12).sqrt() for re, im in parts)
    turned = torch.atan2(parts[0][1], parts[0][0]) - torch.atan2(parts[1][1], parts[1][0])
    chf = 0.5 * (one - other).square() + 0.5 * 2 * one * other * (1 - turned.cos())
    return (chf + 1e-12).sqrt().mean()


class PlainTraining:
    """Forward, backward and optimiser on one batch, uncompiled."""

    def __init__(self, images: torch.Tensor, targets: torch.Tensor):
        self.images, self.targets = images, targets
        self.network = plain_network(targets.shape[1])
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3)

    def step(self, number: int) -> None:
        loss = F.cross_entropy(self.network(self.images), self.targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


@contextmanager
def usual_memory() -> Iterator[None]:
    """The C library's own way with large blocks, as programs find it that leave it alone.

    glibc hands blocks beyond 32 MB back when they are freed (the limit that its threshold grows to by itself); the
    command line tells it to keep them, in the whole process.
    """
    if sys.platform == "linux":
        libc, m_trim_threshold, m_mmap_threshold = ctypes.CDLL(None), -1, -3
        libc.mallopt(m_mmap_threshold, 32 << 20)
        libc.mallopt(m_trim_threshold, 64 << 20)
    try:
        yield
    finally:
        keep_freed_memory()
