"""Objectives: characteristic functions in the step's format, and means in comparable units."""

import pytest
import torch

from ncfm_hub.matching.characteristic import characteristic_function, ncfd
from ncfm_hub.matching.frequencies import normal_frequencies
from ncfm_hub.matching.objective import Characteristic, FeatureMean, make_objective
from ncfm_hub.utils.seeding import generator


def features(count: int, dimension: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_characteristic_functions_of_several_sets_at_once() -> None:
    kind, t = Characteristic(0.3), features(20, 6, 0)
    real, synthetic = features(4 * 9, 6, 1).unflatten(0, (4, 9)), features(4 * 5, 6, 2).unflatten(0, (4, 5))
    found = kind.distance(kind.statistics(real, t), kind.statistics(synthetic, t))
    expected = [
        ncfd(characteristic_function(one, t), characteristic_function(other, t), 0.3)
        for one, other in zip(real, synthetic, strict=True)
    ]
    assert kind.statistics(real, t).shape == (4, 40)
    torch.testing.assert_close(found, torch.stack(expected))


def test_the_form_without_gradient_is_taken_only_where_none_is_asked_for() -> None:
    asked = []

    def without(z: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(True)
        return characteristic_function(z, t)

    kind, z, t = make_objective("characteristic", 0.3, without), features(9, 6, 1), features(20, 6, 0)
    expected = kind.statistics(z, t)
    assert len(asked) == 1
    for wants in (z, t):
        wants.requires_grad_()
        torch.testing.assert_close(kind.statistics(z, t), expected, rtol=0, atol=0)
        assert len(asked) == 1
        with torch.no_grad():
            kind.statistics(z, t)
        assert len(asked) == 2
        wants.requires_grad_(False)
        asked.pop()


def test_means_are_compared_by_their_euclidean_distance() -> None:
    kind = FeatureMean()
    real, synthetic = features(9, 6, 1), features(5, 6, 2)
    found = kind.distance(kind.statistics(real, real), kind.statistics(synthetic, real))
    assert found.item() == pytest.approx((real.mean(0) - synthetic.mean(0)).norm().item() / torch.pi**0.5)


def test_means_are_what_ncfd_tends_to_where_features_differ_little() -> None:
    shift = 1e-3 * torch.nn.functional.normalize(features(1, 300, 3), dim=1)
    real = 1e-3 * features(50, 300, 1)
    t = normal_frequencies(20_000, 300, 1.0, generator(0, "frequencies")).double()
    values = []
    for kind in (Characteristic(0.5), FeatureMean()):
        values.append(kind.distance(kind.statistics(real, t), kind.statistics(real + shift, t)).item())
    assert values[0] == pytest.approx(values[1], rel=0.02)


def test_kinds_have_names() -> None:
    assert make_objective("characteristic", 0.2) == Characteristic(0.2)
    assert make_objective("mean", 0.2) == FeatureMean()
