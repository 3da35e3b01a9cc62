"""Train the members of a pool, resumable after each epoch.

All random draws of an epoch are keyed by (pool seed, member, epoch), and the state is written atomically after each
epoch: an interrupted run resumes from the last epoch and ends with the same bytes. Members trained together share one
state file; if they cannot be trained together any more, as with another number of processes, they start over.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.pool import blend
from ncfm_hub.matching.augment import CROP, Augmentation, augment, draw_augmentation
from ncfm_hub.matching.philox import Stream, key_of, permutations
from ncfm_hub.networks.build import Architecture, Weights, build_network, normaliser
from ncfm_hub.networks.stacked import TogetherTrainer
from ncfm_hub.networks.trainer import Batch, Trainer, learning_rate_schedule, make_optimizer
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.progress import Bar
from ncfm_hub.utils.sealed import load_tensors, save_tensors
from ncfm_hub.utils.seeding import generator

DRAWN_TOGETHER = 2**16  # images
BETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
_PARTIAL = "-partial.safetensors"


@dataclass(frozen=True)
class TrainingPlan:
    """Training settings of a member, as plain values."""

    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    momentum: float
    weight_decay: float
    schedule: str
    seed: int
    flip: bool

    def updates_per_epoch(self, images: int) -> int:
        """Return the number of full batches, at least one."""
        return max(1, images // self.batch_size)


def initial_weights(
    architecture: Architecture, seed: int, member: int, pretrained: str | None, head_only: bool
) -> tuple[Weights, Weights]:
    """Return (init, weights to start training from), which are equal for networks trained from scratch.

    With `pretrained`, training starts from those weights with a new head; init is the same (`head_only`), or all new.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator(seed, "init", member))))
        start = build_network(architecture, pretrained).state_dict()
        init = start if pretrained is None or head_only else build_network(architecture).state_dict()
    return init, start


def partial_file(folder: Path, members: Sequence[int]) -> Path:
    """Return the path of the state of members that are trained together."""
    return folder / ("-".join(f"{member:02d}" for member in members) + _PARTIAL)


def begun_groups(folder: Path) -> list[list[int]]:
    """Return the groups of members that have a state file."""
    names = sorted(path.name.removesuffix(_PARTIAL) for path in folder.glob(f"*{_PARTIAL}"))
    return [[int(member) for member in name.split("-")] for name in names]


def train_members(
    trainer: Trainer | TogetherTrainer,
    folder: Path,
    members: Sequence[int],
    images: torch.Tensor,
    labels: torch.Tensor,
    architecture: Architecture,
    plan: TrainingPlan,
    starts: Sequence[Weights],
    bar: Bar,
) -> list[Weights]:
    """Train one or several members, resuming from their state file if there is one; the file is kept.

    images: uint8 (N, c, H, W) on any device
    labels: int64 (N,) on the same device
    """
    module = trainer.load(starts)
    optimizer = make_optimizer(
        module, plan.optimizer, lr=plan.lr, weight_decay=plan.weight_decay, momentum=plan.momentum
    )
    state = partial_file(folder, members)
    updates = plan.updates_per_epoch(len(images))
    rate = learning_rate_schedule(plan.schedule, plan.lr, updates * plan.epochs)
    first = _load_partial(state, module, optimizer)
    bar.advance(first * updates * len(members))
    prepare = trainer.engine.fuse(
        partial(_prepared, normaliser(architecture, trainer.engine.device), architecture.classes)
    )
    named = str(members[0] + 1) if len(members) == 1 else f"{len(members)} at once"
    for epoch in range(first, plan.epochs):
        batches = _epoch(images, labels, prepare, plan, members, epoch, trainer.engine.device)
        trainer.fit(
            batches if isinstance(trainer, TogetherTrainer) else ((x[0], targets[0]) for x, targets in batches),
            optimizer,
            rate,
            first_update=epoch * updates,
            on_update=lambda: bar.advance(len(members), member=named),
        )
        _save_partial(state, module, optimizer, epoch + 1)
    return trainer.weights()


def measure_blends(
    trainer: Trainer,
    pair: tuple[Weights, Weights],
    images: torch.Tensor,
    labels: torch.Tensor,
    prepare: Callable[[torch.Tensor], torch.Tensor],
) -> dict[str, float]:
    """Measure the top-1 accuracy in percent of a member's blends at each beta of BETAS."""
    measured = {}
    for beta in BETAS:
        trainer.network.load_state_dict(blend(pair, beta))
        measured[str(beta)] = round(trainer.accuracy(images, labels, prepare, at_once=128), 2)
    return measured


def _epoch(
    images: torch.Tensor,
    labels: torch.Tensor,
    prepare: Callable[[torch.Tensor, torch.Tensor, Augmentation], Batch],
    plan: TrainingPlan,
    members: Sequence[int],
    epoch: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield images (K, B, c, H, W) and targets (K, B, C) of K members, each with its own order and crops."""
    size, resolution = min(plan.batch_size, len(images)), (images.shape[2], images.shape[3])
    group = torch.tensor(members, device=device)
    orders = permutations(
        key_of(plan.seed, "pretraining order"), len(images), group, torch.tensor(epoch, device=device)
    )
    key, updates = key_of(plan.seed, "pretraining augmentation"), plan.updates_per_epoch(len(images))
    together = max(1, DRAWN_TOGETHER // (len(members) * size))
    for start in range(0, updates, together):
        count = min(together, updates - start)
        places = (start * size + torch.arange(count * size, device=device)).unflatten(0, (count, 1, size))
        random = Stream(key, places, group[:, None], epoch)  # (count, K, B)
        drawn = draw_augmentation(random, resolution, geometry=CROP, flip=plan.flip, colour=False, cutout=False)
        for update in range(count):
            rows = orders[:, (start + update) * size :][:, :size].to(images.device)
            own = drawn[update * len(members) * size : (update + 1) * len(members) * size]
            yield prepare(images[rows].to(device), labels[rows].to(device), own)


def _prepared(
    normalised: Callable[[torch.Tensor], torch.Tensor],
    classes: int,
    images: torch.Tensor,
    labels: torch.Tensor,
    drawn: Augmentation,
) -> Batch:
    """Normalise and augment images (K, B, c, H, W), uint8, and make their labels (K, B) targets (K, B, C)."""
    x = augment(normalised(images.flatten(0, 1)), drawn)
    return x.unflatten(0, labels.shape), F.one_hot(labels, classes).float()


def _save_partial(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items() if tensor is not None}
    save_tensors(path, tensors, {"epoch": str(epoch), "threads": str(torch.get_num_threads())})


def _load_partial(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore the training state of members; returns the number of completed epochs (0 without a file).

    Raises PoolError if training was started with another number of threads.
    """
    if not path.is_file():
        return 0
    state: dict[int, dict[str, torch.Tensor]] = {}
    weights: Weights = {}
    tensors, told = load_tensors(path)
    for key, tensor in tensors.items():
        kind, rest = key.split(".", 1)
        if kind == "network":
            weights[rest] = tensor
        else:
            number, name = rest.split(".", 1)
            state.setdefault(int(number), {})[name] = tensor
    threads = torch.get_num_threads()
    before = int(told["threads"])
    if before != threads:
        raise PoolError(
            f"{path} was begun with {counted(before, 'thread')}, and there are {threads} now, which would give other "
            f"weights; set OMP_NUM_THREADS={before}, or remove that file to train the member anew"
        )
    network.load_state_dict(weights)
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
    return int(told["epoch"])
