"""Train students (evaluation networks) on a dataset and test them after a fixed number of updates.

Legend: N training images, c channels, (H, W) resolution, C classes, B batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ncfm_hub.errors import Diverged
from ncfm_hub.evaluation.batches import BatchPlan, TrainingSet, student_batches
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture, build_network, normalise
from ncfm_hub.networks.stacked import TogetherTrainer, networks_at_once
from ncfm_hub.networks.trainer import Batch, Trainer, learning_rate_schedule, make_optimizer
from ncfm_hub.recipes.schema import EvaluationRecipe, updates_of
from ncfm_hub.utils.progress import Bar
from ncfm_hub.utils.seeding import generator


@dataclass(frozen=True)
class StudentPlan:
    """Training settings shared by all students of a table, as plain values."""

    updates: int
    batch_size: int
    lr: float
    weight_decay: float
    schedule: str
    cutmix: float
    flip: bool
    augment: bool = True  # DSA; CutMix is controlled by its probability


@dataclass(frozen=True)
class StudentResult:
    """Accuracy of a student after its last update, in percent.

    accuracy: top-1 on the test images
    train_accuracy: top-1 on its training images
    per_class: top-1 on the test images of each class (C values), None for a class without any
    """

    accuracy: float
    train_accuracy: float
    per_class: tuple[float | None, ...]


class Students:
    """Students of one architecture, compiled once and trained one after another or several at once.

    at_once: number trained at once; more than one pays only on a GPU and needs a network without buffers
    """

    def __init__(self, architecture: Architecture, plan: StudentPlan, engine: Engine, at_once: int | None = None):
        self.architecture, self.plan, self.engine = architecture, plan, engine
        # Networks of one class share a recompile limit, beyond which torch silently leaves them uncompiled.
        torch.compiler.reset()
        network = build_network(architecture)
        self.at_once = at_once or networks_at_once(network, plan.batch_size, architecture.resolution, engine)
        self.together = TogetherTrainer(build_network(architecture), engine) if self.at_once > 1 else None
        self.trainer = Trainer(network, engine)

    def train_and_test(
        self, training: TrainingSet, test_images: torch.Tensor, test_labels: torch.Tensor, seed: int, bar: Bar
    ) -> StudentResult:
        """Train one student and test it; `seed` determines initial weights, batches and augmentation. Raises Diverged.

        Students of equal seed start from the same weights on any training set.
        """
        plan = self.plan
        network = self.trainer.load([self._fresh_weights(seed)])
        optimizer = make_optimizer(network, "adamw", lr=plan.lr, weight_decay=plan.weight_decay)
        rate = learning_rate_schedule(plan.schedule, plan.lr, plan.updates)
        batches = ((x[0], targets[0]) for x, targets in self._batches([(training, seed)]))
        self.trainer.fit(batches, optimizer, rate, on_update=lambda: bar.advance())
        return self._test(training, test_images, test_labels)

    def train_and_test_together(
        self, jobs: Sequence[tuple[TrainingSet, int]], test_images: torch.Tensor, test_labels: torch.Tensor, bar: Bar
    ) -> list[StudentResult]:
        """Run `train_and_test` for all (training set, seed) pairs at once."""
        assert self.together is not None
        plan = self.plan
        module = self.together.load([self._fresh_weights(seed) for _, seed in jobs])
        optimizer = make_optimizer(module, "adamw", lr=plan.lr, weight_decay=plan.weight_decay)
        rate = learning_rate_schedule(plan.schedule, plan.lr, plan.updates)
        self.together.fit(self._batches(jobs), optimizer, rate, on_update=lambda: bar.advance(len(jobs)))
        results = []
        for (training, _), weights in zip(jobs, self.together.weights(), strict=True):
            self.trainer.load([weights])
            results.append(self._test(training, test_images, test_labels))
        return results

    def _test(self, training: TrainingSet, test_images: torch.Tensor, test_labels: torch.Tensor) -> StudentResult:
        if not all(bool(weights.isfinite().all()) for weights in self.trainer.network.parameters()):
            raise Diverged(  # otherwise it would count as a student with chance accuracy
                f"a student ({self.architecture.name}) has weights that are not finite after {self.plan.updates} "
                f"updates at the rate {self.plan.lr:g}; try a lower one (--set evaluation.lr=...)"
            )
        right = self.trainer.logits(test_images, self._prepare, at_once=128).argmax(1) == test_labels
        rows = _evenly(len(training.labels), len(test_labels))
        train = self.trainer.accuracy(training.images[rows], training.labels[rows], self._prepare, at_once=128)
        return StudentResult(
            100 * float(right.double().mean()),
            train,
            self._by_class(right, test_labels),
        )

    def _by_class(self, right: torch.Tensor, labels: torch.Tensor) -> tuple[float | None, ...]:
        """Return the percentage of correct images of each class; None for a class without any."""
        classes = self.architecture.classes
        count = labels.bincount(minlength=classes).tolist()
        known = labels[right].bincount(minlength=classes).tolist()
        return tuple(100 * (k / n) if n else None for k, n in zip(known, count, strict=True))

    def _prepare(self, images: torch.Tensor) -> torch.Tensor:
        return normalise(images, self.architecture)

    def _fresh_weights(self, seed: int) -> dict[str, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator(seed, "student"))))
            return build_network(self.architecture).state_dict()

    def _batches(self, jobs: Sequence[tuple[TrainingSet, int]]) -> Iterator[Batch]:
        """Yield the batches of several students: (K, B, c, H, W) and (K, B, C)."""
        plan = self.plan
        how = BatchPlan(plan.updates, plan.batch_size, plan.cutmix, plan.flip, plan.augment)
        sets, seeds = [training for training, _ in jobs], [seed for _, seed in jobs]
        return student_batches(sets, seeds, self.architecture, how, self.engine.device)


def _evenly(count: int, most: int) -> torch.Tensor:
    """Return at most `most` row numbers, evenly spaced over 0..count-1."""
    return torch.linspace(0, count - 1, min(count, most)).long()


def student_plan(recipe: EvaluationRecipe, flip: bool, images: int) -> StudentPlan:
    """Convert a recipe to training settings; `images`: number of images of the distilled dataset."""
    return StudentPlan(
        updates=updates_of(recipe.updates, recipe.epochs, images, recipe.batch_size),
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        schedule=recipe.schedule,
        cutmix=recipe.cutmix,
        flip=flip,
        augment=recipe.augment,
    )
