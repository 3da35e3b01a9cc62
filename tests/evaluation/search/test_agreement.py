"""Rank correlations, their intervals and regret against formulas of their own."""

import itertools
import math

import numpy as np
import pytest

from ncfm_hub.evaluation.search.agreement import agreement, correlations, regret


def spearman_by_hand(x: list[float], y: list[float]) -> float:
    """Without ties: 1 - 6 sum d^2 / (n (n^2 - 1))."""
    ranks = [{value: rank for rank, value in enumerate(sorted(values))} for values in (x, y)]
    apart = [ranks[0][a] - ranks[1][b] for a, b in zip(x, y, strict=True)]
    return 1 - 6 * sum(d * d for d in apart) / (len(x) * (len(x) ** 2 - 1))


def kendall_by_hand(x: list[float], y: list[float]) -> float:
    """Tau-b: concordant minus discordant pairs over the geometric mean of the pairs untied on either side."""
    pairs = list(itertools.combinations(zip(x, y, strict=True), 2))
    signs = [(np.sign(a[0] - b[0]), np.sign(a[1] - b[1])) for a, b in pairs]
    untied = [sum(sign[side] != 0 for sign in signs) for side in (0, 1)]
    return float(sum(one * other for one, other in signs)) / math.sqrt(untied[0] * untied[1])


X = [41.2, 55.0, 48.3, 60.1, 39.9, 52.4, 57.7]
Y = [60.0, 72.1, 74.5, 80.2, 58.3, 66.0, 71.9]


@pytest.mark.slow
def test_correlations_are_those_of_the_textbook() -> None:
    assert correlations(X, Y) == pytest.approx((spearman_by_hand(X, Y), kendall_by_hand(X, Y)))
    tied = [41.2, 55.0, 41.2, 60.1, 39.9, 55.0, 57.7]
    assert correlations(tied, Y)[1] == pytest.approx(kendall_by_hand(tied, Y))
    assert all(math.isnan(value) for value in correlations([10.0] * 7, Y))


def test_regret_is_what_the_proxy_s_first_few_miss() -> None:
    proxy, whole = np.array([5.0, 4.0, 3.0, 2.0, 1.0]), np.array([70.0, 75.0, 60.0, 80.0, 50.0])
    assert [regret(proxy, whole, k) for k in (1, 2, 3, 4)] == [10.0, 5.0, 5.0, 0.0]
    for k in range(1, 7):
        first = sorted(range(7), key=lambda one: -X[one])[:k]
        assert regret(np.array(X), np.array(Y), k) == pytest.approx(max(Y) - max(Y[one] for one in first))


def test_a_proxy_that_agrees_and_one_that_does_not() -> None:
    found = agreement({"distilled": [y / 2 for y in Y], "random": [-y for y in Y]}, Y, seed=0, resamples=200)
    assert found["distilled"]["spearman"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["random"]["kendall"] == {"value": -1.0, "low": -1.0, "high": -1.0}
    assert found["distilled"]["regret"] == {"1": 0.0, "3": 0.0, "5": 0.0}
    worst_first = sorted(Y)
    assert found["random"]["regret"] == {
        str(k): pytest.approx(max(Y) - max(worst_first[:k]), abs=0.01) for k in (1, 3, 5)
    }
    assert found["distilled minus random"]["spearman"] == {"value": 2.0, "low": 2.0, "high": 2.0}
    assert "regret" not in found["distilled minus random"]


def test_intervals_are_as_wide_as_theory_has_them() -> None:
    """Spearman's under normal data: Bonett and Wright, Psychometrika 2000, on Fisher's scale."""
    draws = np.random.default_rng(3)
    count, rho = 150, 0.6
    x = draws.standard_normal(count)
    y = rho * x + math.sqrt(1 - rho**2) * draws.standard_normal(count)
    figure = agreement({"distilled": x}, y, seed=0, resamples=500)["distilled"]["spearman"]
    assert figure["value"] == pytest.approx(spearman_by_hand(list(x), list(y)), abs=1e-4)
    error = math.sqrt((1 + figure["value"] ** 2 / 2) / (count - 3))
    width = np.arctanh(figure["high"]) - np.arctanh(figure["low"])
    assert width == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert figure["low"] < figure["value"] < figure["high"]


def test_the_same_seed_gives_the_same_intervals_and_equal_proxies_differ_by_nothing() -> None:
    twice = [agreement({"distilled": X, "random": X}, Y, seed=4, resamples=50) for _ in range(2)]
    assert twice[0] == twice[1]
    assert twice[0]["distilled minus random"]["kendall"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert agreement({"distilled": X}, Y, seed=5, resamples=50) != agreement({"distilled": X}, Y, seed=4, resamples=50)


def test_what_is_not_defined_is_none() -> None:
    nothing = {"value": None, "low": None, "high": None}
    assert agreement({"distilled": [10.0] * 7}, Y, seed=0, resamples=20)["distilled"]["spearman"] == nothing
    two = agreement({"distilled": X[:2]}, Y[:2], seed=0, resamples=20)["distilled"]
    assert two["spearman"] == {"value": 1.0, "low": None, "high": None}
    assert two["regret"] == {"1": 0.0}
    assert agreement({"distilled": X[:1]}, Y[:1], seed=0, resamples=20)["distilled"]["kendall"] == nothing
