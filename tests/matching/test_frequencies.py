"""Frequencies: a scale mixture of normals, unbounded, all distinct, with a sampling network that learns."""

import math

import pytest
import torch

from ncfm_hub.matching.frequencies import (
    PER_COMPONENT,
    RANGE,
    SamplingNetwork,
    make_sampling_network,
    normal_frequencies,
    orthogonal_normals,
)
from ncfm_hub.utils.seeding import generator


def trained_like(dimension: int, scale: float = 1.0) -> SamplingNetwork:
    """A sampling network away from its start, so that components differ."""
    network = make_sampling_network(dimension, scale, generator(0, "sampling network"))
    with torch.no_grad():
        network.head.weight.copy_(0.1 * torch.randn(network.head.weight.shape, generator=generator(1, "head")))
    return network


def test_without_psi_frequencies_are_normal_with_the_scale() -> None:
    t = normal_frequencies(4000, 50, 2.5, generator(0, "frequencies"))
    assert t.shape == (4000, 50)
    assert t.dtype == torch.float32
    assert t.mean().item() == pytest.approx(0, abs=0.03)
    assert t.std().item() == pytest.approx(2.5, rel=0.01)
    assert (t / 2.5).pow(4).mean().item() == pytest.approx(3, rel=0.03)  # a normal's kurtosis
    assert t.abs().max() > 2.5 * 4  # no bound: among 200,000 normals some lie beyond four deviations


def test_every_frequency_is_different() -> None:
    plain = normal_frequencies(1024, 8, 1.0, generator(0, "frequencies"))
    network = trained_like(8)
    mixed = network(*network.draw(1024, generator(0, "draw")))
    for t in (plain, mixed):
        assert len(torch.unique(t.detach(), dim=0)) == 1024


def test_the_network_starts_from_the_frequencies_used_without_it() -> None:
    network = make_sampling_network(30, 0.7, generator(0, "sampling network"))
    noise, eps = network.draw(64, generator(0, "draw"))
    torch.testing.assert_close(network.scales(noise), torch.full((4, 30), 0.7))
    torch.testing.assert_close(network(noise, eps), 0.7 * eps.reshape(64, 30))


def test_frequencies_are_scale_times_normal_component_by_component() -> None:
    network = trained_like(12)
    noise, eps = network.draw(20_000 * PER_COMPONENT, generator(0, "draw"))
    assert noise.shape == (20_000, network.noise)
    assert eps.shape == (20_000, PER_COMPONENT, 12)
    with torch.no_grad():
        sigma, t = network.scales(noise), network(noise, eps)
    assert (sigma > 0).all()
    assert len(torch.unique(sigma, dim=0)) == 20_000
    by_component = t.reshape(20_000, PER_COMPONENT, 12)
    torch.testing.assert_close(by_component[7, 3], sigma[7] * eps[7, 3])
    # Given its component a frequency is normal, with independent coordinates, whatever the component.
    standard = (by_component / sigma[:, None]).flatten(0, 1).double()
    assert standard.mean(0).abs().max() < 0.02
    torch.testing.assert_close(torch.cov(standard.T), torch.eye(12).double(), atol=0.02, rtol=0)
    assert standard.pow(4).mean().item() == pytest.approx(3, rel=0.02)
    # The mixture has heavier tails than one normal: kurtosis 3 E sigma^4 / (E sigma^2)^2.
    expected = 3 * sigma.double().pow(4).mean(0) / sigma.double().square().mean(0).square()
    found = t.double().pow(4).mean(0) / t.double().square().mean(0).square()
    assert (expected > 3.01).all()
    torch.testing.assert_close(found, expected, rtol=0.15, atol=0)


def test_marginal_of_one_coordinate_is_the_mixture_s() -> None:
    """Empirical distribution against the mean of the components' normal distribution functions (Kolmogorov)."""
    network = trained_like(3)
    noise, eps = network.draw(2000 * PER_COMPONENT, generator(3, "draw"))
    with torch.no_grad():
        sigma, t = network.scales(noise)[:, 0].double(), network(noise, eps)[:, 0].double().sort().values.contiguous()
    grid = t[:: len(t) // 50].contiguous()
    mixture = torch.stack([(0.5 * (1 + torch.erf(x / (sigma * math.sqrt(2))))).mean() for x in grid])
    empirical = torch.searchsorted(t, grid, right=True).double() / len(t)
    assert (mixture - empirical).abs().max() < 1.7 / math.sqrt(len(t))


def test_scales_are_bounded_and_frequencies_are_not() -> None:
    """However far psi is driven: with unbounded scales a rate of 0.1 ended in infinities within twenty steps."""
    network = make_sampling_network(50, 0.5, generator(0, "sampling network"))
    noise, eps = network.draw(4096, generator(0, "draw"))
    for drive in (-1e6, 1e6):
        with torch.no_grad():
            network.head.bias.fill_(drive)
            sigma, t = network.scales(noise), network(noise, eps)
        torch.testing.assert_close(sigma, torch.full_like(sigma, 0.5 * RANGE ** (1 if drive > 0 else -1)))
        assert t.abs().max() > 4 * sigma.max()


def test_a_count_that_is_no_multiple_is_refused() -> None:
    network = make_sampling_network(4, 1.0, generator(0, "sampling network"))
    with pytest.raises(ValueError, match="16; found 40"):
        network.draw(40, generator(0, "draw"))


def test_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = make_sampling_network(4, 1.0, generator(0, "sampling network")).state_dict()
    torch.manual_seed(2)
    second = make_sampling_network(4, 1.0, generator(0, "sampling network")).state_dict()
    other = make_sampling_network(4, 1.0, generator(1, "sampling network")).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["body.0.weight"], other["body.0.weight"])


def test_gradients_reach_every_weight_once_the_head_has_moved() -> None:
    network = trained_like(6)
    network(*network.draw(64, generator(0, "draw"))).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("count", "dimension"), [(24, 40), (100, 40)])
def test_orthogonal_frequencies_are_at_right_angles_within_blocks(count: int, dimension: int) -> None:
    """A row is at right angles to all other rows of its block, and so to all but the other blocks' rows."""
    t = orthogonal_normals(count, dimension, generator(0, "orthogonal")).double()
    assert t.shape == (count, dimension)
    directions = t / t.norm(dim=1, keepdim=True)
    right = ((directions @ directions.T).abs() < 1e-5).sum(1)
    sizes = [min(dimension, count - first) for first in range(0, count, dimension)]
    expected = sorted(size - 1 for size in sizes for _ in range(size))
    assert sorted(right.tolist()) == expected
    # Dealt: blocks do not come one after another, or a component of psi would have its rows from one block.
    assert count < dimension or right.tolist() != sorted(right.tolist(), reverse=True)


def test_every_orthogonal_frequency_is_normal_by_itself() -> None:
    """Over many draws: coordinates are N(0, 1) and independent, and lengths are chi with D degrees of freedom."""
    rows = torch.cat([orthogonal_normals(8, 6, generator(0, "many", draw)) for draw in range(5000)]).double()
    assert rows.mean(0).abs().max() < 0.02
    torch.testing.assert_close(torch.cov(rows.T), torch.eye(6).double(), atol=0.025, rtol=0)
    assert rows.pow(4).mean().item() == pytest.approx(3, rel=0.02)
    squares = rows.square().sum(1)
    assert squares.mean().item() == pytest.approx(6, rel=0.01)
    assert squares.var().item() == pytest.approx(12, rel=0.05)


def test_orthogonal_frequencies_make_a_mean_vary_less() -> None:
    """What they are for: the mean of cos <t, z> over the frequencies, for features of about unit length."""
    z = torch.nn.functional.normalize(torch.randn(32, generator=generator(0, "feature")), dim=0) * 2

    def spread(orthogonal: bool) -> float:
        means = [
            (normal_frequencies(32, 32, 1.0, generator(0, "draw", number), orthogonal) @ z).cos().mean()
            for number in range(400)
        ]
        return float(torch.stack(means).var())

    assert spread(True) < 0.7 * spread(False)


def test_orthogonal_rows_come_from_psi_too() -> None:
    network = make_sampling_network(40, 1.0, generator(0, "sampling network"))
    _, eps = network.draw(32, generator(0, "draw"), orthogonal=True)
    assert eps.shape == (2, PER_COMPONENT, 40)
    rows = torch.nn.functional.normalize(eps.flatten(0, 1), dim=1)
    assert (rows @ rows.T - torch.eye(32)).abs().max() < 1e-5
