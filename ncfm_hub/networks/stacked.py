"""Train several networks of one architecture at once, where a single one would underuse the device.

Legend: K networks, B images in a batch, C classes. The networks share only kernel launches: each has its own weights,
batches and optimiser state, and its result equals training alone up to rounding.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from ncfm_hub.machine.engine import Engine, images_within
from ncfm_hub.networks.build import Weights
from ncfm_hub.networks.convnet import ConvNet
from ncfm_hub.networks.trainer import Batch

AT_ONCE = 10  # networks, on a GPU
IMAGES_AT_ONCE = 2048  # images in all batches at 32 px; memory per step grows with pixels


def networks_at_once(network: nn.Module, batch_size: int, resolution: int, engine: Engine) -> int:
    """Return how many such networks to train at once: several for ConvNets of small images on a GPU, else one."""
    has_buffers = next(network.buffers(), None) is not None  # a ConvNet with batch norm
    if engine.device.type != "cuda" or not isinstance(network, ConvNet) or has_buffers:
        return 1
    return max(1, min(AT_ONCE, images_within(IMAGES_AT_ONCE, resolution) // batch_size))


class TogetherTrainer:
    """Train K networks without buffers (ConvNets, but not batch norm), compiled once for all.

    Same interface as `Trainer`: load weights, create an optimiser for the returned module, fit batches.
    """

    def __init__(self, network: nn.Module, engine: Engine):
        if next(network.buffers(), None) is not None:
            raise ValueError("networks with buffers, such as batch norm's, are trained one after another")
        self.engine = engine
        self._names = [name for name, _ in network.named_parameters()]
        self._stacked = nn.ParameterList()
        network = network.to("meta").train()

        def loss(weights: Weights, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            with engine.autocast(training=True):
                logits = functional_call(network, weights, (images,))
            return F.cross_entropy(logits.float(), targets)

        self._losses = engine.compile(vmap(loss), network)

    def load(self, weights: Sequence[Weights]) -> nn.Module:
        """Load the weights of K networks; returns the module whose parameters (K, ...) are to be optimised.

        SGD and AdamW are elementwise, so one optimiser over stacked parameters equals one per network.
        """
        self._stacked = nn.ParameterList(
            torch.stack([one[name] for one in weights]).to(self.engine.device) for name in self._names
        )
        return self._stacked

    def weights(self) -> list[Weights]:
        """Return the current weights of the K networks, on the CPU."""
        now = [value.detach().cpu() for value in self._stacked]
        return [
            {name: value[k].clone() for name, value in zip(self._names, now, strict=True)} for k in range(len(now[0]))
        ]

    def fit(
        self,
        batches: Iterable[Batch],
        optimizer: torch.optim.Optimizer,
        learning_rate: Callable[[int], float],
        first_update: int = 0,
        on_update: Callable[[], None] | None = None,
    ) -> None:
        """Take one optimiser step per batch: images (K, B, c, H, W) and targets (K, B, C), one row per network."""
        for update, (images, targets) in enumerate(batches, first_update):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(update)
            optimizer.zero_grad(set_to_none=True)
            weights = dict(zip(self._names, self._stacked, strict=True))
            self._losses(weights, images, targets).sum().backward()
            optimizer.step()
            if on_update:
                on_update()
