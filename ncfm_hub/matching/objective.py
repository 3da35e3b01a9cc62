"""Matching objectives: characteristic functions (NCFM) or feature means (distribution matching).

An objective defines statistics of a group of features and a distance between two such statistics. Legend: N images, D
features, F frequencies, S statistics of a group.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from ncfm_hub.matching.characteristic import characteristic_function, ncfd


class Objective(Protocol):
    """The interface that `unit_step` expects of an objective."""

    def statistics(self, features: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        """Map features (..., N, D) and frequencies (F, D) to statistics (..., S)."""
        ...

    def distance(self, real: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        """Map two statistics (..., S) to distances (...)."""
        ...


# maps features (..., N, D) and frequencies (F, D) to real and imaginary part, each (..., F)
CharacteristicFunction = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Characteristic:
    """NCFM: characteristic functions, S = 2 F (real parts, then imaginary parts), compared by NCFD with `alpha`.

    without_gradient: computes characteristic functions where no gradient is asked for
    """

    alpha: float
    without_gradient: CharacteristicFunction = characteristic_function

    def statistics(self, features: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        differentiates = torch.is_grad_enabled() and (features.requires_grad or frequencies.requires_grad)
        function = characteristic_function if differentiates else self.without_gradient
        return torch.cat(function(features, frequencies), -1)

    def distance(self, real: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        (real_re, real_im), (synthetic_re, synthetic_im) = (both.chunk(2, -1) for both in (real, synthetic))
        return ncfd((real_re, real_im), (synthetic_re, synthetic_im), self.alpha)


@dataclass(frozen=True)
class FeatureMean:
    """Distribution matching (DM; Zhao and Bilen, WACV 2023): feature means, S = D; frequencies are ignored.

    The distance is Euclidean, divided by sqrt(pi). This is the limit of NCFD at alpha = 1/2 and scale 1 for small
    feature differences or frequencies t ~ N(0, scale^2 I), so that loss weights are comparable between the two
    objectives.
    """

    def statistics(self, features: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        return features.mean(-2)

    def distance(self, real: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(real - synthetic, dim=-1) / torch.pi**0.5


def make_objective(
    name: str, alpha: float, without_gradient: CharacteristicFunction = characteristic_function
) -> Objective:
    """Create the objective named "characteristic" or "mean"."""
    kinds: dict[str, Objective] = {"characteristic": Characteristic(alpha, without_gradient), "mean": FeatureMean()}
    return kinds[name]
