"""Train one network: the loop shared by pool members and students (evaluation networks).

Legend: N images in a batch, c channels, C classes. A batch is normalised images (N, c, H, W) and target
probabilities (N, C).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Weights
from ncfm_hub.networks.convnet import run_natively

Batch = tuple[torch.Tensor, torch.Tensor]


class Trainer:
    """Train one network, compiled once, any number of times from given weights."""

    def __init__(self, network: nn.Module, engine: Engine):
        self.engine = engine
        self.network = network.to(engine.device).to(memory_format=torch.channels_last)
        native = engine.native and run_natively(self.network)
        self._forward = self.network if native else engine.compile(self.network, self.network)

    def load(self, weights: Sequence[Weights]) -> nn.Module:
        """Load the only entry of `weights`; returns the network whose parameters are to be optimised."""
        (only,) = weights
        self.network.load_state_dict(only)
        return self.network

    def weights(self) -> list[Weights]:
        """Return the network's current weights as a list of one, on the CPU."""
        return [{name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}]

    def fit(
        self,
        batches: Iterable[Batch],
        optimizer: torch.optim.Optimizer,
        learning_rate: Callable[[int], float],
        first_update: int = 0,
        on_update: Callable[[], None] | None = None,
    ) -> None:
        """Take one optimiser step per batch; `learning_rate(update)` is evaluated from `first_update` on."""
        self.network.train()
        for update, (images, targets) in enumerate(batches, first_update):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(update)
            images = images.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            with self.engine.at_work():
                with self.engine.autocast(training=True):
                    logits = self._forward(images)
                F.cross_entropy(logits.float(), targets).backward()
            optimizer.step()
            if on_update:
                on_update()

    @torch.no_grad()
    def logits(
        self, images: torch.Tensor, prepare: Callable[[torch.Tensor], torch.Tensor], at_once: int
    ) -> torch.Tensor:
        """Compute logits (N, C), float32 on the CPU, in eval mode.

        prepare: normalises a slice of images
        at_once: images per forward pass
        """
        self.network.eval()
        answers = []
        for first in range(0, len(images), at_once):
            part = images[first : first + at_once]
            filled = part if self._forward is self.network else fill_up(part, at_once)
            x = prepare(filled.to(self.engine.device)).contiguous(memory_format=torch.channels_last)
            with self.engine.at_work(), self.engine.autocast():
                answers.append(self._forward(x)[: len(part)].float())
        return torch.cat(answers).cpu()

    def accuracy(
        self, images: torch.Tensor, labels: torch.Tensor, prepare: Callable[[torch.Tensor], torch.Tensor], at_once: int
    ) -> float:
        """Compute top-1 accuracy in percent on images (N, c, H, W) with int64 labels (N,)."""
        right = self.logits(images, prepare, at_once).argmax(1) == labels.cpu()
        return 100 * right.double().mean().item()


def fill_up(part: torch.Tensor, count: int) -> torch.Tensor:
    """Repeat the last row up to `count` rows, so that compiled networks see a single shape."""
    missing = count - len(part)
    return part if missing <= 0 else torch.cat([part, part[-1:].expand(missing, *part.shape[1:])])


def make_optimizer(
    network: nn.Module, name: str, *, lr: float, weight_decay: float, momentum: float = 0.9
) -> torch.optim.Optimizer:
    """Create SGD with momentum, or AdamW; on a GPU one kernel updates all parameters."""
    parameters: Any = list(network.parameters())
    fused = all(parameter.is_cuda for parameter in parameters) or None
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)
    raise ValueError(f"optimizer is 'sgd' or 'adamw', found {name!r}")


def learning_rate_schedule(name: str, lr: float, updates: int) -> Callable[[int], float]:
    """Return a function from update to learning rate.

    name: "one-cycle" (warm-up over the first quarter, then cosine to zero), "steps" (x0.2 at 2/3 and 5/6) or "fifths"
        (x0.5 after each fifth)
    """

    def one_cycle(update: int) -> float:
        warm = max(1, round(0.25 * updates))
        if update < warm:
            return lr * (update + 1) / warm
        share = (update - warm) / max(1, updates - warm)
        return lr * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * share, dtype=torch.float64))))

    def steps(update: int) -> float:
        return lr * 0.2 ** ((3 * update >= 2 * updates) + (6 * update >= 5 * updates))

    def fifths(update: int) -> float:
        return lr * 0.5 ** (5 * update // updates)

    return {"one-cycle": one_cycle, "steps": steps, "fifths": fifths}[name]
