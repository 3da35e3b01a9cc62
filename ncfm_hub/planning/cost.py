"""Estimate the cost of a run before it starts: the images it computes on over the images a second of this machine.

There is no estimate (None) where memory does not suffice to measure the latter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import ParamSpec, TypeVar

from accelerate.utils.memory import should_reduce_batch_size

from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.build import Architecture
from ncfm_hub.networks.names import resolve_student
from ncfm_hub.planning.rates import decoded_rate, real_rate, trained_rate
from ncfm_hub.recipes.schema import DistillationRecipe, EvaluationRecipe, PoolRecipe, Recipe, updates_of

TESTING = 1 / 3  # of the time of training: a backward pass costs about two forward passes

P = ParamSpec("P")
T = TypeVar("T")


def _if_it_fits(estimate: Callable[P, T]) -> Callable[P, T | None]:
    """Return None from an estimate whose timing runs out of memory."""

    @wraps(estimate)
    def tried(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return estimate(*args, **kwargs)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            return None

    return tried


@dataclass(frozen=True)
class Cost:
    """Estimated minutes by stage; 0 if the stage has nothing to do."""

    pool_minutes: float
    distill_minutes: float
    evaluate_minutes: float

    @property
    def total_minutes(self) -> float:
        return self.pool_minutes + self.distill_minutes + self.evaluate_minutes


@_if_it_fits
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
    of_all = _distillation(recipe.distillation, extractor, student.classes, train_images, engine)
    return Cost(
        0 if pool_ready else _pool(recipe.pool, extractor, train_images, engine),
        of_all * new_classes / student.classes,
        _evaluation(recipe, student, decoded, train_images, test_images, engine),
    )


def _pool(pool: PoolRecipe, extractor: Architecture, train_images: int, engine: Engine) -> float:
    """Estimate the minutes to train a pool."""
    return train_images * pool.epochs * pool.size / trained_rate(extractor, pool.batch_size, engine) / 60


def _distillation(
    recipe: DistillationRecipe, extractor: Architecture, classes: int, train_images: int, engine: Engine
) -> float:
    assert recipe.ipc is not None
    computed = recipe.steps if recipe.bank is None else min(recipe.bank, recipe.steps)  # each entry once
    real = computed * min(classes * recipe.real_batch, train_images)
    decoded = recipe.steps * classes * recipe.ipc * recipe.factor**2
    return (real / real_rate(extractor, recipe, engine) + decoded / decoded_rate(extractor, recipe, engine)) / 60


def _evaluation(
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
    if not evaluation.students:
        return 0
    rows = _rows(evaluation, ranking)
    updates = updates_of(evaluation.updates, evaluation.epochs, decoded, evaluation.batch_size)
    tested = test_images + min(decoded, test_images)  # of the images trained on no more
    images = updates * evaluation.batch_size + TESTING * tested
    names = [resolve_student(name, student.resolution) for name in evaluation.architectures]
    networks = [student, *(replace(student, name=name) for name in names)]
    seconds = [images / trained_rate(network, evaluation.batch_size, engine) for network in networks]
    minutes = evaluation.students * (rows * sum(seconds) + 2 * ranking * seconds[0]) / 60
    return minutes + (
        _mean_matching(recipe, student, decoded, train_images, engine) if "dm" in evaluation.baselines else 0
    )


def students_of(evaluation: EvaluationRecipe, ranking: bool = False) -> int:
    """Return how many students an evaluation trains. ranking: include the DD-Ranking metrics."""
    return evaluation.students * (_rows(evaluation, ranking) * (1 + len(evaluation.architectures)) + 2 * ranking)


def _rows(evaluation: EvaluationRecipe, ranking: bool) -> int:
    """Return the number of rows of a table."""
    sets = {*evaluation.baselines, *(("random", "whole") if ranking else ())}
    return len(sets) + 1 + evaluation.soft_labels * (1 + ("random" in sets))


def _mean_matching(recipe: Recipe, student: Architecture, decoded: int, train_images: int, engine: Engine) -> float:
    """Estimate the minutes of the DM baseline, by extractors of the student's architecture."""
    ipc = max(1, decoded // (student.classes * recipe.distillation.factor**2))
    changed = {"ipc": ipc, "matching": "mean", "calibration": 0.0, "sampling_network": False, "bank": None}
    return _distillation(recipe.distillation.model_copy(update=changed), student, student.classes, train_images, engine)


pool_minutes, evaluate_minutes = _if_it_fits(_pool), _if_it_fits(_evaluation)
