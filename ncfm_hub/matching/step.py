"""One step of NCFM for a unit of classes: losses, and gradients of stored images and frequencies.

Legend: U classes of a unit, each with n stored images that decode to m = n rho^2 training images; D features, F
frequencies; C classes of the networks. The objective is the sum over classes of (300 NCFD_c + w CE_c) / C; the part of
one unit depends on no other unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from ncfm_hub.matching.augment import Augmentation, augment
from ncfm_hub.matching.characteristic import characteristic_function, debiased_distance
from ncfm_hub.matching.objective import Objective
from ncfm_hub.matching.synthetic import decode

NCFD_WEIGHT = 300.0

# maps normalised images (N, c, H, W) to features (N, D) and logits (N, C), both float32
Network = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
# maps images (N, c, H, W), uint8, and their augmentation to features (N, D), float32
RealNetwork = Callable[[torch.Tensor, Augmentation], torch.Tensor]


@dataclass(frozen=True)
class StepSettings:
    """Settings shared by all steps of a run.

    objective: what is matched
    normalise: maps images (N, c, H, W), uint8 or in [0, 1], to the networks' input
    classes: number of classes of the networks
    calibration: weight of the cross-entropy
    factor: tiles along a side
    images_at_once: real images per forward pass
    decoded_at_once: decoded images per forward and backward pass
    ascends: what the frequency gradient is of: "ncfd", the unit's part of the objective; "debiased", the squared
        distance without sampling bias, equally weighted; None for no gradient
    """

    objective: Objective
    normalise: Callable[[torch.Tensor], torch.Tensor]
    classes: int
    calibration: float
    factor: int
    normalize_features: bool
    images_at_once: int
    decoded_at_once: int
    ascends: str | None = None


@dataclass(frozen=True)
class UnitDraw:
    """Random draws of one unit in one step.

    real: uint8 (sum of sizes, c, H, W), ordered by class
    sizes: number of real images per class
    real_augmentation, synthetic_augmentation: parameters for the real images and the U m decoded images
    """

    real: torch.Tensor
    sizes: tuple[int, ...]
    real_augmentation: Augmentation
    synthetic_augmentation: Augmentation


@dataclass(frozen=True)
class UnitResult:
    """Result of one unit in one step.

    ncfd, cross_entropy: (U,), unweighted; the latter is zero without calibration
    pixel_gradient: (U n, c, H, W), of the unit's part of the objective
    frequency_gradient: (F, D), None unless requested
    """

    ncfd: torch.Tensor
    cross_entropy: torch.Tensor
    pixel_gradient: torch.Tensor
    frequency_gradient: torch.Tensor | None


def unit_step(
    stored: torch.Tensor,
    labels: torch.Tensor,
    draw: UnitDraw,
    frequencies: torch.Tensor,
    hybrids: tuple[RealNetwork, Network],
    trained: Network | None,
    settings: StepSettings,
    known: torch.Tensor | None = None,
) -> UnitResult:
    """Compute losses and gradients of one unit.

    stored: (U n, c, H, W) float in [0, 1], ordered by class
    labels: int64 (U m,), of the decoded images, as numbered by the trained network's outputs
    frequencies: (F, D)
    hybrids: the blended extractor for the real and the synthetic side, which may differ in precision
    trained: the trained extractor, used if calibration > 0
    known: statistics of the real side (U, S), used in place of `draw.real`
    """
    objective, classes = settings.objective, settings.classes
    frequencies = frequencies.detach().requires_grad_(settings.ascends == "ncfd")
    of_real, of_synthetic = hybrids
    real: tuple[torch.Tensor, ...] = ()
    if known is None:
        real = real_features(draw, of_real, settings).split(list(draw.sizes))
        known = _by_class(real, frequencies, objective)
    stored = stored.detach().requires_grad_(True)
    augmented = augment(settings.normalise(decode(stored, settings.factor)), draw.synthetic_augmentation)
    seen = augmented.detach().requires_grad_(True)  # each network back-propagates separately, which halves the memory
    features = _in_passes(of_synthetic, seen, settings.decoded_at_once)[0]
    if settings.normalize_features:
        features = F.normalize(features, dim=1)
    distances = objective.distance(known, objective.statistics(features.unflatten(0, (len(known), -1)), frequencies))
    (NCFD_WEIGHT / classes * distances.sum()).backward()
    entropies = torch.zeros_like(distances)
    if settings.calibration > 0 and trained is not None:
        # On augmented images: without augmentation it vanishes within about fifty steps and has no more effect.
        logits = _in_passes(trained, seen, settings.decoded_at_once)[1]
        entropies = F.cross_entropy(logits, labels, reduction="none").reshape(len(known), -1).mean(1)
        (settings.calibration / classes * entropies.sum()).backward()
    assert seen.grad is not None
    augmented.backward(seen.grad)
    assert stored.grad is not None
    of_frequencies = frequencies.grad
    if settings.ascends == "debiased":
        of_frequencies = _debiased_gradient(real, features.detach().chunk(len(known)), frequencies, classes)
    return UnitResult(distances.detach(), entropies.detach(), stored.grad, of_frequencies)


def _debiased_gradient(
    real: Sequence[torch.Tensor], synthetic: Sequence[torch.Tensor], frequencies: torch.Tensor, classes: int
) -> torch.Tensor:
    """Return the gradient (F, D) of 300 / C times the mean debiased distance, summed over the unit's classes."""
    frequencies = frequencies.detach().requires_grad_(True)
    for z, x in zip(real, synthetic, strict=True):
        both = (characteristic_function(z, frequencies), characteristic_function(x, frequencies))
        distance = debiased_distance(*both, len(z), len(x)).mean()
        (NCFD_WEIGHT / classes * distance).backward()
    assert frequencies.grad is not None
    return frequencies.grad


def _in_passes(network: Network, x: torch.Tensor, at_once: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply a network in passes of one shape, padded by zeros; of several passes none keeps what is inside the network.

    Gradients are exact: each pass is computed again on the way back.
    """
    parts = [_padded(part, at_once) for part in x.split(at_once)]
    found = [
        network(part) if len(parts) == 1 else checkpoint(network, part, use_reentrant=False, preserve_rng_state=False)
        for part in parts
    ]
    features, logits = (torch.cat(both)[: len(x)] for both in zip(*found, strict=True))
    return features, logits


def _padded(x: torch.Tensor, count: int) -> torch.Tensor:
    """Append zeros to `count` rows, so that compiled networks see one shape."""
    return x if len(x) == count else torch.cat([x, x.new_zeros(count - len(x), *x.shape[1:])])


def real_statistics(
    draw: UnitDraw, frequencies: torch.Tensor, network: RealNetwork, settings: StepSettings
) -> torch.Tensor:
    """Compute statistics (U, S) of the augmented real images, as `known` of `unit_step`."""
    features = real_features(draw, network, settings)
    return _by_class(features.split(list(draw.sizes)), frequencies, settings.objective)


def _by_class(features: Sequence[torch.Tensor], frequencies: torch.Tensor, objective: Objective) -> torch.Tensor:
    """Compute statistics of each class's features (N, D), one class at a time to save memory: (U, S)."""
    return torch.stack([objective.statistics(z, frequencies) for z in features])


@torch.no_grad()
def real_features(draw: UnitDraw, network: RealNetwork, settings: StepSettings) -> torch.Tensor:
    """Compute features (sum of sizes, D) of the augmented real images, in passes of one shape padded by zeros."""
    found, at_once = [], settings.images_at_once
    for first in range(0, len(draw.real), at_once):
        images = draw.real[first : first + at_once]
        augmentation = draw.real_augmentation[first : first + at_once].map(lambda some: _padded(some, at_once))
        found.append(network(_padded(images, at_once), augmentation)[: len(images)])
    features = torch.cat(found)
    return F.normalize(features, dim=1) if settings.normalize_features else features
