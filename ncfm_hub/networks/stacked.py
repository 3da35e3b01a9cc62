"""Train several networks of one architecture at once, where a single one would underuse the device.

Legend: K networks, B images in a batch, c channels, (H, W) resolution, C classes. The networks share only kernel
launches: each has its own weights, buffers (as of batch norm), batches and optimiser state, and its result equals
training alone up to rounding. Dropout and stochastic depth differ between them.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Weights
from ncfm_hub.networks.trainer import Batch


class TogetherTrainer:
    """Train and test K networks, compiled once for all.

    Same interface as `Trainer`: load weights, create an optimiser for the returned module, fit batches.
    """

    def __init__(self, network: nn.Module, engine: Engine):
        self.engine = engine
        self._network = network.to(engine.device)
        self._trained = _trained(network)
        self._held = nn.ParameterList()
        self._state: Weights = {}
        self._losses = engine.compile(_losses(self._network, lambda: engine.autocast(training=True)), network)
        self._logits = engine.compile(_logits(self._network), network)

    def load(self, weights: Sequence[Weights]) -> nn.Module:
        """Load the weights of K networks; returns the module whose parameters (K, ...) are to be optimised.

        SGD and AdamW are elementwise, so one optimiser over stacked parameters equals one per network.
        """
        self._held, self._state = nn.ParameterList(), {}
        for name in weights[0]:
            stacked = torch.stack([one[name] for one in weights]).to(self.engine.device)
            if name in self._trained:
                self._held.append(nn.Parameter(stacked))
                self._state[name] = self._held[-1]
            else:
                self._held.register_buffer(name.replace(".", "/"), stacked)  # a name must not have dots
                self._state[name] = stacked
        return self._held

    def weights(self) -> list[Weights]:
        """Return the current weights of the K networks, on the CPU."""
        now = {name: value.detach().cpu() for name, value in self._state.items()}
        count = len(next(iter(now.values())))
        return [{name: value[k].clone() for name, value in now.items()} for k in range(count)]

    def finite(self) -> list[bool]:
        """Return whether all trained weights are finite, for each network."""
        every = [value.detach().reshape(len(value), -1).isfinite().all(1) for value in self._held]
        return list(torch.stack(every).all(0).tolist())

    def fit(
        self,
        batches: Iterable[Batch],
        optimizer: torch.optim.Optimizer,
        learning_rate: Callable[[int], float],
        first_update: int = 0,
        on_update: Callable[[], None] | None = None,
    ) -> None:
        """Take one optimiser step per batch: images (K, B, c, H, W) and targets (K, B, C), one row per network."""
        self._network.train()
        for update, (images, targets) in enumerate(batches, first_update):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(update)
            optimizer.zero_grad(set_to_none=True)
            with self.engine.at_work():
                self._losses(self._state, images, targets).sum().backward()
            optimizer.step()
            if on_update:
                on_update()

    @torch.no_grad()
    def logits(self, batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield logits (K, B, C), float32, in eval mode, for each batch of images (K, B, c, H, W), normalised."""
        self._network.eval()
        for images in batches:
            with self.engine.at_work(), self.engine.autocast():
                logits = self._logits(self._state, images)
            yield logits.float()


def can_be_stacked(network: nn.Module, image: tuple[int, int, int]) -> bool:
    """Return whether networks of this kind can be trained at once, tried on two of them with two images (c, H, W).

    Not where a network shares weights between layers, or does what vmap cannot, as a choice by the value of a tensor.
    """
    if len(list(network.parameters())) != len(list(network.named_parameters(remove_duplicate=False))):
        return False
    tried = copy.deepcopy(network).cpu().train()
    trained, state = _trained(tried), tried.state_dict()
    stacked = {name: torch.stack([value, value]).requires_grad_(name in trained) for name, value in state.items()}
    images = torch.zeros(2, 2, *image)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")  # of operations that a CPU does one after another
            targets = torch.zeros(2, *tried(images[0]).shape)
            _losses(tried, nullcontext)(stacked, images, targets).sum().backward()
    except Exception:  # whatever it is that cannot be done at once can be done one after another
        return False
    return True


def _trained(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def _losses(
    network: nn.Module, context: Callable[[], AbstractContextManager[Any]]
) -> Callable[[Weights, torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the function from stacked weights and buffers, which it updates, and a batch to losses (K,)."""

    def loss(state: Weights, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with context():
            logits = functional_call(network, state, (images,))
        return F.cross_entropy(logits.float(), targets)

    # Not vmap's own function, which is one to the compiler whatever it maps, with one limit on its recompilations.
    def losses(state: Weights, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = vmap(loss, randomness="different")(state, images, targets)
        return found

    return losses


def _logits(network: nn.Module) -> Callable[[Weights, torch.Tensor], torch.Tensor]:
    """Return the function from stacked weights and buffers, and images (K, B, c, H, W), to logits (K, B, C)."""

    def logits(state: Weights, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = vmap(lambda own, x: functional_call(network, own, (x,)))(state, images)
        return found

    return logits
