"""What of the features is matched: their characteristic function (NCFM), or their mean (distribution matching).

Each kind gives the statistics of a set of features and the distance between two sets' statistics. Legend: N images, D
features, F frequencies, S values of a set's statistics.
"""

from dataclasses import dataclass
from typing import Protocol

import torch

from ncfm_hub.matching.characteristic import characteristic_function, ncfd


class Objective(Protocol):
    """What `unit_step` needs of a kind of matching."""

    def statistics(self, features: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        """Features (..., N, D), frequencies (F, D) -> (..., S)."""
        ...

    def distance(self, real: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        """Two sets' statistics (..., S) -> (...)."""
        ...


@dataclass(frozen=True)
class Characteristic:
    """NCFM: characteristic functions, S = 2 F (real parts, then imaginary parts), and NCFD under `alpha`."""

    alpha: float

    def statistics(self, features: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        return torch.cat(characteristic_function(features, frequencies), -1)

    def distance(self, real: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        (real_re, real_im), (synthetic_re, synthetic_im) = (both.chunk(2, -1) for both in (real, synthetic))
        return ncfd((real_re, real_im), (synthetic_re, synthetic_im), self.alpha)


@dataclass(frozen=True)
class FeatureMean:
    """Distribution matching (Zhao and Bilen, WACV 2023): means of features, S = D; frequencies have no part in it.

    The distance is Euclidean, divided by the root of pi: what NCFD at alpha = 1/2 tends to where features differ little
    or frequencies t ~ N(0, scale^2 I) are small, for scale 1. So weights mean the same for both kinds.
    """

    def statistics(self, features: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        return features.mean(-2)

    def distance(self, real: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(real - synthetic, dim=-1) / torch.pi**0.5


def make_objective(name: str, alpha: float) -> Objective:
    """The kind of matching called "characteristic" or "mean"."""
    kinds: dict[str, Objective] = {"characteristic": Characteristic(alpha), "mean": FeatureMean()}
    return kinds[name]
