"""A frozen network as a pure function of its weights, compiled once for all members and blends of a pool."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn
from torch.func import functional_call

from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import FeaturesAndLogits, Weights
from ncfm_hub.networks.convnet import run_natively


class FrozenNetwork:
    """A network in eval mode without weight gradients; `bind(weights)` maps images to float32 (features, logits)."""

    def __init__(self, network: nn.Module, engine: Engine):
        self.engine = engine
        both = FeaturesAndLogits(network).to(engine.device).eval().requires_grad_(False)

        def call(weights: Weights, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return functional_call(both, weights, (x,))

        self._call = call if engine.native and run_natively(network) else engine.compile(call, network)

    def bind(
        self, weights: Weights, full_precision: bool = False
    ) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Return the network with these weights (a state dict on any device).

        full_precision: compute in fp32 whatever the engine's precision
        """
        placed = {f"network.{name}": _place(tensor, self.engine.device) for name, tensor in weights.items()}

        def forward(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with nullcontext() if full_precision else self.engine.autocast():
                features, logits = self._call(placed, x.contiguous(memory_format=torch.channels_last))
            return features.float(), logits.float()

        return forward


def _place(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.to(device, memory_format=torch.channels_last) if tensor.ndim == 4 else tensor.to(device)
