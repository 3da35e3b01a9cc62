"""The frequencies at which characteristic functions are compared, drawn at random or by the sampling network psi.

Legend: F frequencies, D features, G components of the scale mixture, each giving `PER_COMPONENT` frequencies.
"""

import math

import torch
from torch import nn

PER_COMPONENT = 16
# Scales stay within this factor of `frequency_scale`. Unbounded they grow without end at any rate that moves them: few
# samples always differ most at the highest frequencies.
RANGE = 4.0


def normal_frequencies(
    count: int, dimension: int, scale: float, generator: torch.Generator, orthogonal: bool = False
) -> torch.Tensor:
    """t ~ N(0, scale^2 I): (F, D) float32 on the CPU; independent rows, or `orthogonal` blocks of them."""
    rows = orthogonal_normals if orthogonal else _independent_normals
    return scale * rows(count, dimension, generator)


def orthogonal_normals(count: int, dimension: int, generator: torch.Generator) -> torch.Tensor:
    """(F, D): every row ~ N(0, I), and the rows of a block of min(F, D) at right angles; blocks are independent.

    Directions at right angles sample the sphere more evenly, so that a mean over them varies less. Source: Yu et al.,
    "Orthogonal Random Features", NIPS 2016. Rows come in random order.
    """
    blocks = []
    for first in range(0, count, dimension):
        rows = min(dimension, count - first)
        # Rows of a Gaussian matrix made orthonormal are uniform on the sphere once the signs are (Mezzadri 2007).
        basis, upper = torch.linalg.qr(torch.randn(dimension, min(count, dimension), generator=generator))
        directions = (basis * upper.diagonal().sign()).T[:rows]
        lengths = torch.randn(rows, dimension, generator=generator).norm(dim=1, keepdim=True)  # chi with D degrees
        blocks.append(lengths * directions)
    return torch.cat(blocks)[torch.randperm(count, generator=generator)]


def _independent_normals(count: int, dimension: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(count, dimension, generator=generator)


class SamplingNetwork(nn.Module):
    """psi: a generator of scales, so that frequencies follow a scale mixture of normals.

    A noise vector becomes a positive scale vector sigma (D,), a component; t = sigma * eps with eps ~ N(0, I) gives
    PER_COMPONENT frequencies of each. At the start sigma is about `scale` everywhere (the last layer starts at
    zero), so that training sets out from the frequencies used without psi.
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
        """Noise (G, noise) -> sigma (G, D), between scale / RANGE and scale * RANGE."""
        bound = math.log(RANGE)
        return self.scale * (bound * torch.tanh(self.head(self.body(noise)) / bound)).exp()

    def draw(
        self, count: int, generator: torch.Generator, orthogonal: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The random part of `count` frequencies, on the CPU: noise (G, noise) and eps (G, PER_COMPONENT, D).

        orthogonal: as in `normal_frequencies`; rows are dealt across components, within which it does nothing.
        """
        if count % PER_COMPONENT:
            raise ValueError(f"the sampling network gives frequencies by {PER_COMPONENT}; found {count} asked for")
        components = count // PER_COMPONENT
        noise = torch.randn(components, self.noise, generator=generator)
        eps = normal_frequencies(count, self.dimension, 1.0, generator, orthogonal)
        return noise, eps.unflatten(0, (components, PER_COMPONENT))

    def forward(self, noise: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """Noise (G, noise) and eps (G, PER_COMPONENT, D) -> frequencies (F, D)."""
        return (self.scales(noise)[:, None] * eps).flatten(0, 1)


def make_sampling_network(dimension: int, scale: float, generator: torch.Generator) -> SamplingNetwork:
    """A network whose weights come from `generator` alone, whatever else was drawn before."""
    network = SamplingNetwork(dimension, scale)
    with torch.no_grad():
        for layer in network.body:
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.copy_((2 * torch.rand(layer.weight.shape, generator=generator) - 1) * bound)
                layer.bias.copy_((2 * torch.rand(layer.bias.shape, generator=generator) - 1) * bound)
    return network
