"""Whether training on a proxy orders architectures as training on the whole set does.

Legend: A architectures; `proxy` and `whole` are their accuracies in percent, (A,), in the same order.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000
TOP = (1, 3, 5)
_FEWEST = 5  # architectures; resamples of fewer say nothing
Figures = dict[str, Any]


def agreement(
    proxies: Mapping[str, Sequence[float]], whole: Sequence[float], seed: int, resamples: int = RESAMPLES
) -> dict[str, Figures]:
    """Per proxy: Spearman's and Kendall's rank correlation with `whole`, and the regret of its best few.

    Correlations are {value, low, high}: the bounds are the 2.5 and 97.5 % points over resamples of the architectures,
    the same for every proxy. (Orders that agree wholly do so in every resample.) Of two proxies, "A minus B" has the
    differences of the first's correlations and the second's. A figure that is not defined (accuracies all equal, too
    few architectures) is None.
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
    """Spearman's rho and Kendall's tau-b, which allows for ties; nan where either side is constant."""
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant input: the answer is nan
        return float(stats.spearmanr(proxy, whole).statistic), float(stats.kendalltau(proxy, whole).statistic)


def regret(proxy: np.ndarray, whole: np.ndarray, k: int) -> float:
    """What the best on the whole set has over the best among the proxy's first k, in points.

    Of equals by the proxy, those that come first count first.
    """
    first = np.argsort(-proxy, kind="stable")[:k]
    return float(whole.max() - whole[first].max())


def _with_bounds(value: Sequence[float] | np.ndarray, spread: np.ndarray, count: int) -> Figures:
    """spread: (R, 2), of which resamples without a defined correlation are left out."""
    figures: Figures = {}
    for column, name in enumerate(("spearman", "kendall")):
        known = spread[np.isfinite(spread[:, column]), column]
        low, high = np.percentile(known, (2.5, 97.5)) if len(known) and count >= _FEWEST else (np.nan, np.nan)
        figures[name] = {"value": _or_none(value[column]), "low": _or_none(low), "high": _or_none(high)}
    return figures


def _or_none(number: float) -> float | None:
    return round(float(number), 4) if np.isfinite(number) else None
