"""Empirical characteristic functions and the neural characteristic function discrepancy (NCFD).

Legend: N samples, D features, F frequencies. A characteristic function is a pair of real and imaginary part, each (F,).
Source: Wang et al., "Dataset Distillation with Neural Characteristic Function: A Minmax Perspective", CVPR 2025, Eq.
4-7.
"""

import torch

# Keeps |Phi| and the square root differentiable at zero; far below the resolution of a float32 mean of cosines.
EPSILON = 1e-12


def characteristic_function(features: torch.Tensor, frequencies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute Phi(t) = mean_i exp(j <t, z_i>) at each frequency.

    features: (..., N, D) float
    frequencies: (F, D) float
    Returns the real part (..., F) and the imaginary part (..., F).
    """
    phase = features @ frequencies.T  # (..., N, F)
    return phase.cos().mean(-2), phase.sin().mean(-2)


def discrepancy(
    real: tuple[torch.Tensor, torch.Tensor], synthetic: tuple[torch.Tensor, torch.Tensor], alpha: float
) -> torch.Tensor:
    """Compute Chf(t) at each frequency: amplitude difference weighted by alpha, phase difference by 1 - alpha.

    Computed without angles: with A = (|Phi_r| - |Phi_s|)^2 and Delta = |Phi_r - Phi_s|^2, the paper's
    alpha A + (1 - alpha) 2 |Phi_r| |Phi_s| (1 - cos(a_r - a_s)) equals (2 alpha - 1) A + (1 - alpha) Delta.

    real, synthetic: real and imaginary parts, each (..., F)
    Returns (..., F).
    """
    (real_re, real_im), (synthetic_re, synthetic_im) = real, synthetic
    amplitude_real = (real_re.square() + real_im.square() + EPSILON).sqrt()
    amplitude_synthetic = (synthetic_re.square() + synthetic_im.square() + EPSILON).sqrt()
    amplitude = (amplitude_real - amplitude_synthetic).square()
    delta = (real_re - synthetic_re).square() + (real_im - synthetic_im).square()
    return (2 * alpha - 1) * amplitude + (1 - alpha) * delta


def ncfd(
    real: tuple[torch.Tensor, torch.Tensor], synthetic: tuple[torch.Tensor, torch.Tensor], alpha: float
) -> torch.Tensor:
    """Compute NCFD, the mean over frequencies of the square root of the discrepancy.

    real, synthetic: real and imaginary parts, each (..., F)
    Returns (...).
    """
    return (discrepancy(real, synthetic, alpha).clamp_min(0) + EPSILON).sqrt().mean(-1)


def debiased_distance(
    real: tuple[torch.Tensor, torch.Tensor],
    synthetic: tuple[torch.Tensor, torch.Tensor],
    real_count: int,
    synthetic_count: int,
) -> torch.Tensor:
    """Compute |Phi_r - Phi_s|^2 at each frequency without its sampling bias.

    On average, |Phi|^2 of a mean of N phasors exceeds that of its expectation by (1 - |phi|^2) / N, of which
    (1 - |Phi|^2) / (N - 1) is an unbiased estimate. For two samples of one distribution the result is therefore zero on
    average at every frequency, whereas NCFD grows with the frequency. A single sample allows no estimate; the plain
    distance is then returned.

    real, synthetic: real and imaginary parts, each (..., F)
    real_count, synthetic_count: number of samples N on each side
    Returns (..., F).
    """
    (real_re, real_im), (synthetic_re, synthetic_im) = real, synthetic
    distance = (real_re - synthetic_re).square() + (real_im - synthetic_im).square()
    of_real = (1 - real_re.square() - real_im.square()) / max(real_count - 1, 1)
    of_synthetic = (1 - synthetic_re.square() - synthetic_im.square()) / max(synthetic_count - 1, 1)
    return distance - of_real - of_synthetic


def ncfd_floor(real_count: int, synthetic_count: int, alpha: float, points: int = 400) -> float:
    """Compute the NCFD expected at high frequencies between two samples of the same distribution, by quadrature.

    There each Phi is a mean of N independent unit phasors, approximately a complex normal of variance 1/N. Write
    |Phi_r| = u cos(p) / sqrt(N_r), |Phi_s| = u sin(p) / sqrt(N_s), with a uniform phase difference q. Then sqrt(Chf) is
    u g(p, q), where u has the density 2 u^3 exp(-u^2) and the mean 3 sqrt(pi) / 4, and p has the density sin(2 p). At
    alpha = 1/2 the result is (sqrt(pi) / 2) sqrt((1 / N_r + 1 / N_s) / 2).

    points: points of the midpoint rule along p and along q
    """
    middles = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    p, q = middles[:, None] * torch.pi / 2, middles[None] * torch.pi
    real, synthetic = p.cos() / real_count**0.5, p.sin() / synthetic_count**0.5
    chf = alpha * (real - synthetic).square() + (1 - alpha) * 2 * real * synthetic * (1 - q.cos())
    mean_of_g = (chf.sqrt().mean(1) * (2 * p[:, 0]).sin()).mean() * torch.pi / 2
    return 3 * torch.pi**0.5 / 4 * float(mean_of_g)
