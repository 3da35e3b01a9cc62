"""Training several networks of one architecture at once, where one alone would leave the device idle.

Legend: K networks, B images in a batch, C classes. The networks share nothing but the launch: each has its own weights,
batches and optimiser state, and ends where it would have ended alone, but for rounding.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from ncfm_hub.engine import Engine
from ncfm_hub.extractors.pool import Weights
from ncfm_hub.extractors.training import Batch, make_optimizer


class TogetherTrainer:
    """Networks without buffers (ConvNets are; batch norm is not), compiled once for all."""

    def __init__(self, network: nn.Module, engine: Engine):
        if next(network.buffers(), None) is not None:
            raise ValueError("networks with buffers, such as batch norm's, are trained one after another")
        self.engine = engine
        network = network.to("meta").train()

        def loss(weights: Weights, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            with engine.autocast():
                logits = functional_call(network, weights, (images,))
            return F.cross_entropy(logits.float(), targets)

        self._losses = engine.compile(vmap(loss))

    def fit(
        self,
        weights: Sequence[Weights],
        batches: Iterable[Sequence[Batch]],
        learning_rate: Callable[[int], float],
        *,
        optimizer: str,
        weight_decay: float,
        on_update: Callable[[], None],
    ) -> list[Weights]:
        """Weights of the K networks after training; `batches` gives one batch of equal size for each of them."""
        stacked = {
            name: nn.Parameter(torch.stack([one[name] for one in weights]).to(self.engine.device))
            for name in weights[0]
        }
        holder = nn.Module()
        for number, parameter in enumerate(stacked.values()):
            holder.register_parameter(str(number), parameter)
        # Both optimisers work element by element, so one for all is one for each.
        descent = make_optimizer(holder, optimizer, lr=learning_rate(0), weight_decay=weight_decay)
        for update, several in enumerate(batches):
            for group in descent.param_groups:
                group["lr"] = learning_rate(update)
            images, targets = (torch.stack(parts) for parts in zip(*several, strict=True))
            descent.zero_grad(set_to_none=True)
            self._losses(dict(stacked), images, targets).sum().backward()
            descent.step()
            on_update()
        return [{name: value.detach()[k].clone() for name, value in stacked.items()} for k in range(len(weights))]
