"""The frequencies at which characteristic functions are compared, drawn at random or by the sampling network psi.

Legend: F frequencies, D features, G components of the scale mixture, each giving `PER_COMPONENT` frequencies.
"""

import torch
from torch import nn

PER_COMPONENT = 16


def normal_frequencies(count: int, dimension: int, scale: float, generator: torch.Generator) -> torch.Tensor:
    """t ~ N(0, scale^2 I): (F, D) float32 on the CPU."""
    return scale * torch.randn(count, dimension, generator=generator)


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
        """Noise (G, noise) -> sigma (G, D), positive: scale * exp(network)."""
        return self.scale * self.head(self.body(noise)).exp()

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The random part of `count` frequencies, on the CPU: noise (G, noise) and eps (G, PER_COMPONENT, D)."""
        if count % PER_COMPONENT:
            raise ValueError(f"the sampling network gives frequencies by {PER_COMPONENT}; found {count} asked for")
        components = count // PER_COMPONENT
        noise = torch.randn(components, self.noise, generator=generator)
        return noise, torch.randn(components, PER_COMPONENT, self.dimension, generator=generator)

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
