"""Estimate the cost of a run before it starts: operations of the network over the measured speed of this machine."""

import time
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture, build_network
from ncfm_hub.networks.names import resolve_student
from ncfm_hub.recipes.schema import DistillationRecipe, PoolRecipe, Recipe, updates_of

# Speed of a whole network relative to a large convolution, forward and in training (ConvNet-3, 2 cores); above 1
# where Winograd convolution saves most of the operations counted here.
NETWORK_EFFICIENCY = 0.6
NATIVE_EFFICIENCY = 1.5
# A backward pass costs about two forward passes.
TRAINING = 3


@dataclass(frozen=True)
class Cost:
    """Estimated minutes by stage; 0 if the stage has nothing to do."""

    pool_minutes: float
    distill_minutes: float
    evaluate_minutes: float

    @property
    def total_minutes(self) -> float:
        return self.pool_minutes + self.distill_minutes + self.evaluate_minutes


def estimate(
    recipe: Recipe,
    extractor: Architecture,
    student: Architecture,
    train_images: int,
    test_images: int,
    pool_ready: bool,
    engine: Engine,
    new_classes: int,
) -> Cost:
    """Estimate the minutes of a run of `recipe`, whose IPC must be given.

    train_images, test_images: number of images of the classes used
    new_classes: number of those classes to distill
    """
    assert recipe.distillation.ipc is not None
    decoded = student.classes * recipe.distillation.ipc * recipe.distillation.factor**2
    of_all = _distill_minutes(recipe.distillation, extractor, student.classes, decoded, train_images, engine)
    return Cost(
        0 if pool_ready else pool_minutes(recipe.pool, extractor, train_images, engine),
        of_all * new_classes / student.classes,
        evaluate_minutes(recipe, student, decoded, train_images, test_images, engine),
    )


def pool_minutes(pool: PoolRecipe, extractor: Architecture, train_images: int, engine: Engine) -> float:
    """Estimate the minutes to train a pool."""
    return TRAINING * train_images * pool.epochs * pool.size / _images_a_minute(extractor, engine)


def _distill_minutes(
    distillation: DistillationRecipe,
    extractor: Architecture,
    classes: int,
    decoded: int,
    train_images: int,
    engine: Engine,
) -> float:
    real: float = min(classes * distillation.real_batch, train_images)
    if distillation.bank:  # at most once per entry
        real *= min(1, distillation.bank / distillation.steps)
    per_step = real + TRAINING * decoded * (2 if distillation.calibration > 0 else 1)
    return distillation.steps * per_step / _images_a_minute(extractor, engine)


def evaluate_minutes(
    recipe: Recipe,
    student: Architecture,
    decoded: int,
    train_images: int,
    test_images: int,
    engine: Engine,
    ranking: bool = False,
) -> float:
    """Estimate the minutes to evaluate datasets of `decoded` images: all students and the DM baseline.

    ranking: include the DD-Ranking metrics. Selecting real images, about a minute, is not included.
    """
    evaluation = recipe.evaluation
    sets = {*evaluation.baselines, *(("random", "whole") if ranking else ())}
    twice = evaluation.soft_labels * (1 + ("random" in sets))
    rows = len(sets) + 1 + twice
    updates = updates_of(evaluation.updates, evaluation.epochs, decoded, evaluation.batch_size)
    per_student = TRAINING * updates * evaluation.batch_size + test_images
    names = [resolve_student(name, student.resolution) for name in evaluation.architectures]
    networks = [student, *(replace(student, name=name) for name in names)]
    by_network = [per_student / _images_a_minute(network, engine) for network in networks]
    minutes = evaluation.students * (rows * sum(by_network) + 2 * ranking * by_network[0])
    if "dm" in sets:
        means = recipe.distillation.model_copy(update={"calibration": 0.0, "bank": None})
        minutes += _distill_minutes(means, student, student.classes, decoded, train_images, engine)
    return minutes


def _images_a_minute(network: Architecture, engine: Engine) -> float:
    """Estimate the images per minute of a forward pass."""
    native = engine.native and network.name.startswith("ncfm_convnet")
    efficiency = NATIVE_EFFICIENCY if native else NETWORK_EFFICIENCY
    return 60 * efficiency * machine_speed(engine.device) / forward_operations(network)


def forward_operations(architecture: Architecture) -> float:
    """Count the floating-point operations of one image's forward pass."""
    with torch.device("meta"):
        network = build_network(architecture).eval()
        x = torch.zeros(1, architecture.channels, architecture.resolution, architecture.resolution)
    with FlopCounterMode(display=False) as counter:
        network(x)
    return float(counter.get_total_flops())


@lru_cache
def machine_speed(device: torch.device) -> float:
    """Measure the operations per second of a 3 x 3 convolution with 128 channels, for a few tenths of a second."""
    x = torch.randn(32, 128, 16, 16, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    operations = 2 * x.numel() * 128 * 9

    def convolve() -> None:
        F.conv2d(x, weight, padding=1)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with torch.no_grad():
        convolve()
        fastest = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            convolve()
            fastest = min(fastest, time.perf_counter() - began)
    return operations / fastest
