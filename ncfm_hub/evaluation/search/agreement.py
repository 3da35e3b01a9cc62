"""Rank agreement between architectures trained on a proxy and on the full training set.

Legend: A architectures; `proxy` and `whole` are their accuracies in percent, (A,), in the same order.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000
TOP = (1, 3, 5)
_FEWEST = 5  # architectures; bootstrapping fewer is meaningless
Figures = dict[str, Any]


def agreement(
    proxies: Mapping[str, Sequence[float]], whole: Sequence[float], seed: int, resamples: int = RESAMPLES
) -> dict[str, Figures]:
    """Compute, for each proxy, Spearman's and Kendall's rank correlation with `whole`, and the regret of its top few.

    Correlations are {value, low, high} with bootstrap bounds: 2.5 and 97.5 percentiles over resamples of architectures,
    shared by all proxies. (Identical orders agree in every resample.) For two proxies, "A minus B" has the differences
    of their correlations. Undefined values (all accuracies equal, too few architectures) are None.
    """
    rows = np.random.default_rng(seed).integers(len(whole), size=(resamples, len(whole)))
    reference = np.asarray(whole, dtype=float)
    found, spreads = {}, {}
    for name, accuracies in proxies.items():
        proxy = np.asarray(accuracies, dtype=float)
        spreads[name] = np.array([correlations(proxy[some], reference[some]) for some in rows])
        found[name] = _with_bounds(correlations(proxy, reference), spreads[name], len(whole)) | {
            "regret": {str(k): round(regret(proxy, reference, k), 2) for k in TOP if k < len(whole)}
        }
    if len(proxies) == 2:
        (one, first), (other, second) = proxies.items()
        value = np.subtract(correlations(first, reference), correlations(second, reference))
        found[f"{one} minus {other}"] = _with_bounds(value, spreads[one] - spreads[other], len(whole))
    return found


def correlations(proxy: Sequence[float] | np.ndarray, whole: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return Spearman's rho and Kendall's tau-b, which handles ties; nan if either side is constant."""
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about constant input, for which the result is nan
        return float(stats.spearmanr(proxy, whole).statistic), float(stats.kendalltau(proxy, whole).statistic)


def regret(proxy: np.ndarray, whole: np.ndarray, k: int) -> float:
    """Return the gap in points between the best accuracy on the full training set and the best among the proxy's top k.

    Ties in the proxy are broken by order.
    """
    first = np.argsort(-proxy, kind="stable")[:k]
    return float(whole.max() - whole[first].max())


def _with_bounds(value: Sequence[float] | np.ndarray, spread: np.ndarray, count: int) -> Figures:
    """Add bootstrap bounds. spread: (R, 2); resamples with undefined correlation are dropped."""
    figures: Figures = {}
    for column, name in enumerate(("spearman", "kendall")):
        known = spread[np.isfinite(spread[:, column]), column]
        low, high = np.percentile(known, (2.5, 97.5)) if len(known) and count >= _FEWEST else (np.nan, np.nan)
        figures[name] = {"value": _or_none(value[column]), "low": _or_none(low), "high": _or_none(high)}
    return figures


def _or_none(number: float) -> float | None:
    return round(float(number), 4) if np.isfinite(number) else None
