"""DD-Ranking metrics: how much of the accuracy is due to the images rather than to labels and augmentation.

Source: Li et al., "DD-Ranking: Rethinking the Evaluation of Dataset Distillation", 2025. Inputs are accuracies in
percent, one per student; metrics are computed on fractions.
"""

import math
from collections.abc import Sequence
from typing import Any

from ncfm_hub.evaluation.protocol import summarise

WEIGHT = 0.5  # of IOR in LRS, and of the augmented part in ARS


def ranking(
    real_hard: Sequence[float],
    distilled_hard: Sequence[float],
    distilled_own: Sequence[float],
    random_own: Sequence[float],
    distilled_plain: Sequence[float],
    random_plain: Sequence[float],
) -> dict[str, Any]:
    """Compute HLR, IOR, LRS and ARS and their components, for each student and as n, mean, std.

    real_hard, distilled_hard: full training set and distilled dataset, with hard labels
    distilled_own, random_own: distilled dataset with its own kind of labels, and as many random real images with such
        labels
    distilled_plain, random_plain: the same two without augmentation

    HLR = real - distilled; IOR = distilled - random. LRS normalises w IOR - (1 - w) HLR, ARS normalises
    g IOR_aug + (1 - g) IOR_plain.
    """
    hlr = _differences(real_hard, distilled_hard)
    ior = _differences(distilled_own, random_own)
    plain = _differences(distilled_plain, random_plain)
    lrs = [label_robust_score(h, i) for h, i in zip(hlr, ior, strict=True)]
    ars = [augmentation_robust_score(i, p) for i, p in zip(ior, plain, strict=True)]
    figures = {"HLR": hlr, "IOR": ior, "IOR_plain": plain, "LRS": lrs, "ARS": ars}
    return {name: summarise(values, digits=4) for name, values in figures.items()}


def label_robust_score(hlr: float, ior: float, weight: float = WEIGHT) -> float:
    """Compute LRS in [0, 1] from HLR (hard label recovery) and IOR (improvement over random), both fractions."""
    return _normalised(weight * ior - (1 - weight) * hlr)


def augmentation_robust_score(ior_augmented: float, ior_plain: float, weight: float = WEIGHT) -> float:
    """Compute ARS in [0, 1] from the improvement over random with and without augmentation, both fractions."""
    return _normalised(weight * ior_augmented + (1 - weight) * ior_plain)


def _normalised(value: float) -> float:
    """Map [-1, 1] to [0, 1]."""
    return (math.exp(value) - math.exp(-1)) / (math.exp(1) - math.exp(-1))


def _differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [(a - b) / 100 for a, b in zip(first, second, strict=True)]
