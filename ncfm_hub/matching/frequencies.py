"""Frequencies at which characteristic functions are compared: normal, or sampled by the sampling network psi.

Legend: F frequencies, D features, G components of the scale mixture, each yielding `PER_COMPONENT` frequencies.
"""

import math

import torch
from torch import nn

PER_COMPONENT = 16
# Scales stay within this factor of `frequency_scale`. Unbounded, they diverge at any useful learning rate: small
# samples always differ most at the highest frequencies.
RANGE = 4.0


def normal_frequencies(
    count: int, dimension: int, scale: float, generator: torch.Generator, orthogonal: bool = False
) -> torch.Tensor:
    """Sample t ~ N(0, scale^2 I): (F, D) float32 on the generator's device.

    orthogonal: rows are orthogonal within blocks, see `orthogonal_normals`; otherwise independent
    """
    rows = orthogonal_normals if orthogonal else _normals
    return scale * rows(count, dimension, generator)


def orthogonal_normals(count: int, dimension: int, generator: torch.Generator) -> torch.Tensor:
    """Sample rows ~ N(0, I), (F, D), that are orthogonal within independent blocks of min(F, D) rows, in random order.

    Orthogonal directions cover the sphere more evenly, which lowers the variance of a mean over them. Source: Yu et
    al., "Orthogonal Random Features", NIPS 2016.
    """
    blocks = []
    for first in range(0, count, dimension):
        rows = min(dimension, count - first)
        # QR of a Gaussian matrix gives rows uniform on the sphere once signs are fixed (Mezzadri 2007).
        basis, upper = torch.linalg.qr(_normals(dimension, min(count, dimension), generator))
        directions = (basis * upper.diagonal().sign()).T[:rows]
        lengths = _normals(rows, dimension, generator).norm(dim=1, keepdim=True)  # chi with D degrees
        blocks.append(lengths * directions)
    return torch.cat(blocks)[torch.randperm(count, generator=generator, device=generator.device)]


def _normals(count: int, dimension: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(count, dimension, generator=generator, device=generator.device)


class SamplingNetwork(nn.Module):
    """The sampling network psi: generates scales, so that frequencies follow a scale mixture of normals.

    An MLP maps a noise vector to a positive scale vector sigma (D,), one component of the mixture. Each component
    yields PER_COMPONENT frequencies t = sigma * eps with eps ~ N(0, I). The last layer is initialised to zero, so that
    sigma starts at about `scale` and training starts from the frequencies used without psi.
    """

    def __init__(self, dimension: int, scale: float = 1.0, noise: int = 64, hidden: int = 128):
        super().__init__()
        self.dimension = dimension
        self.noise = noise
        self.scale = scale
        self.body = nn.Sequential(
            nn.Linear(noise, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2)
        )
        self.head = nn.Linear(hidden, dimension)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def scales(self, noise: torch.Tensor) -> torch.Tensor:
        """Map noise (G, noise) to sigma (G, D), between scale / RANGE and scale * RANGE."""
        bound = math.log(RANGE)
        return self.scale * (bound * torch.tanh(self.head(self.body(noise)) / bound)).exp()

    def draw(
        self, count: int, generator: torch.Generator, orthogonal: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample the inputs for `count` frequencies: noise (G, noise) and eps (G, PER_COMPONENT, D).

        orthogonal: as in `normal_frequencies`; it takes effect across components, not within one
        """
        if count % PER_COMPONENT:
            raise ValueError(f"the sampling network gives frequencies by {PER_COMPONENT}; found {count} asked for")
        components = count // PER_COMPONENT
        noise = _normals(components, self.noise, generator)
        eps = normal_frequencies(count, self.dimension, 1.0, generator, orthogonal)
        return noise, eps.unflatten(0, (components, PER_COMPONENT))

    def forward(self, noise: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """Map noise (G, noise) and eps (G, PER_COMPONENT, D) to frequencies (F, D)."""
        return (self.scales(noise)[:, None] * eps).flatten(0, 1)


def make_sampling_network(dimension: int, scale: float, generator: torch.Generator) -> SamplingNetwork:
    """Create a network whose initial weights depend on `generator` only, not on torch's global random state."""
    network = SamplingNetwork(dimension, scale)
    with torch.no_grad():
        for layer in network.body:
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.copy_((2 * torch.rand(layer.weight.shape, generator=generator) - 1) * bound)
                layer.bias.copy_((2 * torch.rand(layer.bias.shape, generator=generator) - 1) * bound)
    return network
