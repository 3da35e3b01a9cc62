"""Train students (evaluation networks) on a dataset and test them after a fixed number of updates.

Legend: N training images, c channels, (H, W) resolution, C classes, B batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from ncfm_hub.errors import Diverged
from ncfm_hub.evaluation.batches import BatchPlan, Stack, TrainingSet, student_batches
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture, build_network, normalise
from ncfm_hub.networks.capacity import networks_at_once
from ncfm_hub.networks.stacked import TogetherTrainer
from ncfm_hub.networks.trainer import Batch, Trainer, fill_up, learning_rate_schedule, make_optimizer
from ncfm_hub.recipes.schema import EvaluationRecipe, updates_of
from ncfm_hub.utils.progress import Bar, Progress
from ncfm_hub.utils.seeding import generator

TESTED_AT_ONCE = 128  # images in a pass


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

    at_once: number trained at once; None for as many as memory holds on a GPU, and one on a CPU
    """

    def __init__(self, architecture: Architecture, plan: StudentPlan, engine: Engine, at_once: int | None = None):
        self.architecture, self.plan, self.engine = architecture, plan, engine
        # Networks of one class share a recompile limit, beyond which torch silently leaves them uncompiled.
        torch.compiler.reset()
        self.trainer = Trainer(build_network(architecture), engine)
        self._at_once = at_once

    def at_once(self, jobs: int, progress: Progress) -> int:
        """Return how many of so many students to train at once."""
        if self._at_once is not None:
            return self._at_once
        network, one = build_network(self.architecture), self.architecture
        image = (one.channels, one.resolution, one.resolution)
        return networks_at_once(network, image, self.plan.batch_size, jobs, self.engine, progress)

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
        plan, together = self.plan, self._together
        module = together.load([self._fresh_weights(seed) for _, seed in jobs])
        optimizer = make_optimizer(module, "adamw", lr=plan.lr, weight_decay=plan.weight_decay)
        rate = learning_rate_schedule(plan.schedule, plan.lr, plan.updates)
        together.fit(self._batches(jobs), optimizer, rate, on_update=lambda: bar.advance(len(jobs)))
        if not all(together.finite()):
            raise self._diverged()
        sets = [training for training, _ in jobs]
        rows = [_evenly(len(training.labels), len(test_labels)) for training in sets]
        answers, own = (
            torch.cat([logits.argmax(2) for logits in together.logits(batches)], 1).cpu()
            for batches in (self._shared_images(test_images, len(jobs)), self._own_images(sets, rows))
        )
        rights = answers[:, : len(test_labels)] == test_labels
        results = []
        for training, tested, right, answered in zip(sets, rows, rights, own, strict=True):
            known = answered[: len(tested)] == training.labels[tested]
            results.append(self._result(right, known, test_labels))
        return results

    @property
    def _tested_together(self) -> int:
        """Images of each student in a pass: no more than in training, which memory was found to hold."""
        return min(TESTED_AT_ONCE, self.plan.batch_size)

    @cached_property
    def _together(self) -> TogetherTrainer:
        return TogetherTrainer(build_network(self.architecture), self.engine)

    def _test(self, training: TrainingSet, test_images: torch.Tensor, test_labels: torch.Tensor) -> StudentResult:
        if not all(bool(weights.isfinite().all()) for weights in self.trainer.network.parameters()):
            raise self._diverged()
        right = self._answers(test_images) == test_labels
        rows = _evenly(len(training.labels), len(test_labels))
        return self._result(right, self._answers(training.images[rows]) == training.labels[rows], test_labels)

    def _answers(self, images: torch.Tensor) -> torch.Tensor:
        return self.trainer.logits(images, self._prepare, at_once=TESTED_AT_ONCE).argmax(1)

    def _diverged(self) -> Diverged:
        """The error of a student that came to nothing, which would otherwise count as one of chance accuracy."""
        return Diverged(
            f"a student ({self.architecture.name}) has weights that are not finite after {self.plan.updates} "
            f"updates at the rate {self.plan.lr:g}; try a lower one (--set evaluation.lr=...)"
        )

    def _result(self, right: torch.Tensor, known: torch.Tensor, test_labels: torch.Tensor) -> StudentResult:
        """Convert correct answers on test and training images to percentages."""
        accuracy, train_accuracy = (100 * float(some.double().mean()) for some in (right, known))
        return StudentResult(accuracy, train_accuracy, self._by_class(right, test_labels))

    def _shared_images(self, images: torch.Tensor, students: int) -> Iterator[torch.Tensor]:
        """Yield the same images, normalised, for all students: (K, B, c, H, W)."""
        count = self._tested_together
        for part in images.split(count):
            x = self._prepare(fill_up(part, count).to(self.engine.device))
            yield x.expand(students, *x.shape)

    def _own_images(self, sets: Sequence[TrainingSet], rows: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield these rows of each student's images, normalised, again and again up to the longest: (K, B, c, H, W)."""
        stack = Stack(sets, self.architecture.classes, self.engine.device)
        for first in range(0, max(map(len, rows)), self._tested_together):
            places = torch.arange(first, first + self._tested_together)
            images, _ = stack.batch(torch.stack([own[places % len(own)] for own in rows]))
            yield self._prepare(images)

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
        return student_batches(sets, seeds, self.architecture, how, self.engine)


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
