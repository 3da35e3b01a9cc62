"""Characteristic functions and NCFD against complex numbers and angles in float64."""

import math

import numpy as np
import pytest
import torch

from ncfm_hub.matching.characteristic import (
    characteristic_function,
    debiased_distance,
    discrepancy,
    ncfd,
    ncfd_floor,
)
from tests import oracle

Parts = tuple[torch.Tensor, torch.Tensor]


def random_features(count: int, dimension: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parts(values: torch.Tensor) -> Parts:
    return values.real, values.imag


@pytest.fixture
def functions() -> tuple[torch.Tensor, torch.Tensor]:
    """Complex characteristic functions (100,) of two samples."""
    t = random_features(100, 6, 2)
    return (
        oracle.characteristic(random_features(30, 6, 0), t),
        oracle.characteristic(1.3 * random_features(20, 6, 1) + 0.4, t),
    )


def test_characteristic_function_is_the_mean_of_complex_exponentials() -> None:
    features, t = random_features(11, 5, 0), random_features(7, 5, 1)
    real, imaginary = characteristic_function(features, t)
    torch.testing.assert_close(torch.complex(real, imaginary), oracle.characteristic(features, t))


def test_characteristic_function_of_many_normals_is_a_gaussian() -> None:
    t = 0.7 * random_features(5, 3, 1)
    real, imaginary = characteristic_function(random_features(400_000, 3, 0), t)
    torch.testing.assert_close(real, torch.exp(-t.square().sum(1) / 2), atol=6e-3, rtol=0)
    torch.testing.assert_close(imaginary, torch.zeros_like(imaginary), atol=6e-3, rtol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_discrepancy_equals_amplitudes_and_angle_differences(
    functions: tuple[torch.Tensor, torch.Tensor], alpha: float
) -> None:
    real, synthetic = functions
    found = discrepancy(parts(real), parts(synthetic), alpha)
    torch.testing.assert_close(found, oracle.chf(real, synthetic, alpha), atol=1e-11, rtol=1e-7)


def test_discrepancy_at_one_half_is_half_the_squared_distance(functions: tuple[torch.Tensor, torch.Tensor]) -> None:
    real, synthetic = functions
    torch.testing.assert_close(
        discrepancy(parts(real), parts(synthetic), 0.5), (real - synthetic).abs().square() / 2, atol=1e-13, rtol=1e-12
    )


def test_alpha_one_sees_amplitudes_only_and_alpha_zero_sees_phases() -> None:
    turned = torch.polar(torch.full((4,), 0.6), torch.tensor([0.1, 0.5, 1.0, 3.0])).to(torch.complex128)
    plain = torch.full((4,), 0.6 + 0j, dtype=torch.complex128)
    assert discrepancy(parts(plain), parts(turned), 1.0).abs().max() < 1e-9
    expected = 2 * 0.36 * (1 - torch.cos(torch.tensor([0.1, 0.5, 1.0, 3.0])))
    torch.testing.assert_close(discrepancy(parts(plain), parts(turned), 0.0), expected.double(), atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_ncfd_is_the_mean_of_roots_and_has_the_oracle_s_gradient(alpha: float) -> None:
    real, t = random_features(30, 4, 0), random_features(64, 4, 2)
    mine = random_features(20, 4, 1).requires_grad_()
    theirs = mine.detach().clone().requires_grad_()
    found = ncfd(characteristic_function(real, t), characteristic_function(mine, t), alpha)
    expected = oracle.ncfd(real, theirs, t, alpha)
    found.backward()
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-7)
    assert mine.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-8, rtol=1e-4)


def test_ncfd_over_leading_axes_is_one_number_each() -> None:
    t, classes = random_features(16, 4, 9), [random_features(10, 4, s) for s in (1, 2, 3)]
    whole = random_features(10, 4, 0)
    stacked = tuple(torch.stack(p) for p in zip(*(characteristic_function(c, t) for c in classes), strict=True))
    found = ncfd(characteristic_function(whole, t), (stacked[0], stacked[1]), 0.5)
    expected = torch.stack([oracle.ncfd(whole, c, t, 0.5) for c in classes])
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_equal_samples_give_nothing_and_finite_gradients(alpha: float) -> None:
    real, t = random_features(8, 4, 0).float(), random_features(32, 4, 1).float()
    same = real.clone().requires_grad_()
    value = ncfd(characteristic_function(real, t), characteristic_function(same, t), alpha)
    value.backward()
    assert value.item() < 1e-5
    assert same.grad is not None
    assert same.grad.isfinite().all()


def test_gradient_is_finite_where_a_characteristic_function_vanishes() -> None:
    """Two opposite phasors: Phi_s is exactly zero, where an angle would have no derivative."""
    pair = torch.tensor([[0.0], [torch.pi]], dtype=torch.float64, requires_grad=True)
    t = torch.ones(1, 1, dtype=torch.float64)
    for alpha in (0.0, 0.5, 1.0):
        value = ncfd(
            characteristic_function(torch.zeros(3, 1, dtype=torch.float64), t), characteristic_function(pair, t), alpha
        )
        (slope,) = torch.autograd.grad(value, pair)
        assert slope.isfinite().all()
        assert value.item() == pytest.approx(alpha**0.5 if alpha else 0.0, abs=2e-3)


@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0])
def test_debiased_distance_is_what_it_would_be_without_sampling(scale: float) -> None:
    """Of one distribution: zero on average, also at high frequencies; of two normals: their distance, known exactly."""
    draws = torch.Generator().manual_seed(0)
    t = scale * torch.randn(200, 3, generator=draws, dtype=torch.float64)
    gaussian = torch.exp(-t.square().sum(1) / 2)
    for shift in (0.0, 0.8):
        phase = shift * t[:, 0]
        expected = gaussian.square() * ((1 - phase.cos()).square() + phase.sin().square())
        values = []
        for _ in range(400):
            real, synthetic = (torch.randn(n, 3, generator=draws, dtype=torch.float64) for n in (12, 5))
            synthetic[:, 0] += shift
            both = (characteristic_function(real, t), characteristic_function(synthetic, t))
            values.append(debiased_distance(*both, 12, 5))
        found = torch.stack(values)
        error = found.mean(1).std() / 400**0.5  # of the mean over frequencies, whose values in one draw hang together
        assert abs(found.mean() - expected.mean()) < 4 * error
        assert error < 0.01


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("real_count", "synthetic_count"), [(64, 20), (128, 40), (30, 30)])
def test_floor_is_what_two_samples_of_one_distribution_give(
    real_count: int, synthetic_count: int, alpha: float
) -> None:
    """At high frequencies, by simulation: normal features and frequencies of ten deviations."""
    draws = torch.Generator().manual_seed(0)
    t = 10 * torch.randn(512, 16, generator=draws)
    values = []
    for _ in range(10):
        both = torch.randn(real_count + synthetic_count, 16, generator=draws).split([real_count, synthetic_count])
        values.append(ncfd(characteristic_function(both[0], t), characteristic_function(both[1], t), alpha))
    simulated = float(torch.stack(values).mean())
    assert ncfd_floor(real_count, synthetic_count, alpha) == pytest.approx(simulated, rel=0.02)


@pytest.mark.parametrize(("alpha", "expected"), [(0.1, 37.1), (0.5, 34.1), (0.9, 27.9), (1.0, 24.6)])
def test_floor_by_the_angles_of_phasors(alpha: float, expected: float) -> None:
    """By moduli and angles, as the paper writes Chf, of means of unit phasors; and in round figures."""
    draws = np.random.default_rng(7)
    real, synthetic = (np.exp(2j * np.pi * draws.random((40_000, n))).mean(1) for n in (128, 40))
    moduli, angle = (np.abs(real), np.abs(synthetic)), np.angle(real) - np.angle(synthetic)
    chf = alpha * (moduli[0] - moduli[1]) ** 2 + (1 - alpha) * 2 * moduli[0] * moduli[1] * (1 - np.cos(angle))
    assert 300 * ncfd_floor(128, 40, alpha) == pytest.approx(300 * np.sqrt(chf).mean(), rel=0.01)
    assert 300 * ncfd_floor(128, 40, alpha) == pytest.approx(expected, abs=0.1)


def test_floor_is_exact_where_it_has_a_closed_form() -> None:
    for counts in ((128, 40), (5000, 4), (1, 1)):
        closed = math.sqrt(math.pi) / 2 * math.sqrt((1 / counts[0] + 1 / counts[1]) / 2)
        assert ncfd_floor(*counts, 0.5) == pytest.approx(closed, rel=1e-4)
