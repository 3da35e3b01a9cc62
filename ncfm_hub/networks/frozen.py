"""A frozen network as a pure function of its weights, compiled once for all members and blends of a pool."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn
from torch.func import functional_call

from ncfm_hub.machine.engine import Engine
from ncfm_hub.matching.augment import Augmentation, augment
from ncfm_hub.networks.build import FeaturesAndLogits, Weights
from ncfm_hub.networks.convnet import run_natively


class FrozenNetwork:
    """A network in eval mode without weight gradients.

    `bind(weights)` maps normalised images to float32 (features, logits); `bind_real(weights)` maps images and their
    augmentation to float32 features. Weights are a state dict, best placed by `placed`.

    normalise: maps images (N, c, H, W), uint8, to the network's input, for `bind_real`
    """

    def __init__(
        self,
        network: nn.Module,
        engine: Engine,
        normalise: Callable[[torch.Tensor], torch.Tensor] = lambda images: images,
    ):
        self.engine = engine
        both = FeaturesAndLogits(network).to(engine.device).eval().requires_grad_(False)

        def call(weights: Weights, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return functional_call(both, weights, (x,))

        def features(
            weights: Weights,
            images: torch.Tensor,
            affine: torch.Tensor,
            colour: torch.Tensor | None,
            cutout: torch.Tensor | None,
        ) -> torch.Tensor:
            # In fp32, as is what it is compared with: pixels would otherwise be sampled at rounded places.
            x = augment(normalise(images), Augmentation(affine, colour, cutout))
            with engine.autocast():
                return within(weights, x.contiguous(memory_format=torch.channels_last))[0]

        self._call = call if engine.native and run_natively(network) else engine.compile(call, network)
        # On a GPU augmentation and network are compiled as one; on a CPU, only the network.
        within = call if engine.fuses else self._call
        self._features = engine.fuse(features)

    def placed(self, weights: Weights) -> Weights:
        """Return weights on the engine's device in the layout that the network reads fastest."""
        return {name: _place(tensor, self.engine.device) for name, tensor in weights.items()}

    def bind(
        self, weights: Weights, full_precision: bool = False
    ) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Return the network with these weights.

        full_precision: compute in fp32 whatever the engine's precision
        """
        named = self._named(weights)

        def forward(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with nullcontext() if full_precision else self.engine.autocast():
                features, logits = self._call(named, x.contiguous(memory_format=torch.channels_last))
            return features.float(), logits.float()

        return forward

    def bind_real(self, weights: Weights) -> Callable[[torch.Tensor, Augmentation], torch.Tensor]:
        """Return the features of augmented images (N, c, H, W), in the engine's precision, as float32 (N, D)."""
        named = self._named(weights)

        def forward(images: torch.Tensor, augmentation: Augmentation) -> torch.Tensor:
            return self._features(named, images, *augmentation.tensors()).float()

        return forward

    def _named(self, weights: Weights) -> Weights:
        return {f"network.{name}": tensor for name, tensor in self.placed(weights).items()}


def _place(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.to(device, memory_format=torch.channels_last) if tensor.ndim == 4 else tensor.to(device)
