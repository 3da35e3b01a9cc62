"""Compare accuracies: equal within the error of both.

The rule: the means differ by at most three standard errors of their difference, sqrt(s1^2 / n1 + s2^2 / n2) over the
students (evaluation networks) of each.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.comparing.records import compare_accuracies, compare_figures
from ncfm_hub.publishing.dataset.layout import RESULTS
from ncfm_hub.publishing.verifying.records import check_figure
from ncfm_hub.reproducing.result import Found

# By chance, two means over five students each differ by more in 1 of 60 cases (Student's t, 8 degrees of freedom).
STANDARD_ERRORS = 3
_ROUNDED = 0.01  # means and deviations are
_UNFIT = (KeyError, TypeError, AttributeError, ValueError, OverflowError)  # values of a file that a stranger wrote


def check_results_file(results: Mapping[str, Any]) -> None:
    """Raise DistilledError if the accuracies of a results.json cannot be compared."""
    figures_of(results)
    compare_accuracies(results, results)


def figures_of(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the accuracies of a results.json, by row. Raises DistilledError if it is not as documented."""
    try:
        rows = list(_figures(results))
    except _UNFIT as error:
        raise DistilledError(f"{RESULTS} is not as documented: {type(error).__name__} {error}") from error
    names = [name for name, _ in rows]
    if len(set(names)) != len(names):
        raise DistilledError(f"{RESULTS} has several rows for {max(names, key=names.count)}")
    return dict(rows)


def _figures(results: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for part in ("rows", "cross_architecture"):
        for row in results.get(part) or []:
            student = f" ({row['student']})" if "student" in row else ""
            yield f"accuracy, {row['set']}, {row['labels']} labels{student}", row["accuracy"]


def judge_accuracy(where: str, published: Mapping[str, Any], made: Mapping[str, Any] | None, exact: bool) -> Found:
    """Judge an accuracy by the rule.

    made: of the dataset made again; None if the recipe does not measure it
    exact: whether equal numbers are to be expected, which decides on single students
    Raises DistilledError for a published accuracy that does not follow from its values.
    """
    try:
        check_figure(where, published)
        gap = compare_figures(published, made) if made is not None else None
    except _UNFIT as problem:
        raise DistilledError(f"not as documented: {type(problem).__name__} {problem}") from problem
    if gap is None:
        return "not checked", "the recorded recipe does not measure it; see --set evaluation.baselines"
    difference, error = abs(gap["b"] - gap["a"]), gap["standard_error"]
    said = f"{gap['a']:.2f} % published, {gap['b']:.2f} % made again: {gap['difference']:+.2f}"
    if error is not None:
        limit = STANDARD_ERRORS * error
        within = difference <= limit + _ROUNDED
        of_both = f"{'within' if within else 'beyond'} {STANDARD_ERRORS} standard errors ({limit:.2f})"
        return ("passed" if within else "failed"), f"{said}, {of_both}"
    same = difference <= _ROUNDED
    if same or exact:
        return ("passed" if same else "failed"), f"{said}, of single students"
    return "not checked", f"{said}, of single students, whose error is unknown"
