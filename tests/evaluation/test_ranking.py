"""DD-Ranking metrics, against their formulas."""

import math

import pytest

from ncfm_hub.evaluation.ranking import augmentation_robust_score, label_robust_score, ranking


def normalised(value: float) -> float:
    return (math.e**value - 1 / math.e) / (math.e - 1 / math.e)


def test_scores_are_zero_at_the_worst_and_one_at_the_best() -> None:
    assert label_robust_score(hlr=1.0, ior=-1.0) == pytest.approx(0)
    assert label_robust_score(hlr=-1.0, ior=1.0) == pytest.approx(1)
    assert augmentation_robust_score(-1.0, -1.0) == pytest.approx(0)
    assert augmentation_robust_score(1.0, 1.0) == pytest.approx(1)
    assert label_robust_score(hlr=0.3, ior=0.3) == pytest.approx((1 - 1 / math.e) / (math.e - 1 / math.e))


def test_figures_are_differences_of_fractions_student_by_student() -> None:
    found = ranking(
        real_hard=[80.0, 82.0],
        distilled_hard=[60.0, 61.0],
        distilled_own=[63.0, 62.0],
        random_own=[40.0, 43.0],
        distilled_plain=[50.0, 52.0],
        random_plain=[30.0, 31.0],
    )
    assert found["HLR"]["values"] == [0.2, 0.21]
    assert found["IOR"]["values"] == [0.23, 0.19]
    assert found["IOR_plain"]["values"] == [0.2, 0.21]
    lrs = [normalised(0.5 * 0.23 - 0.5 * 0.2), normalised(0.5 * 0.19 - 0.5 * 0.21)]
    ars = [normalised(0.5 * 0.23 + 0.5 * 0.2), normalised(0.5 * 0.19 + 0.5 * 0.21)]
    assert found["LRS"]["values"] == pytest.approx(lrs, abs=5e-5)
    assert found["ARS"]["values"] == pytest.approx(ars, abs=5e-5)
    assert found["LRS"]["mean"] == pytest.approx(sum(lrs) / 2, abs=5e-5)
    assert found["LRS"]["std"] == pytest.approx(abs(lrs[0] - lrs[1]) / math.sqrt(2), abs=5e-5)
    assert {figure["n"] for figure in found.values()} == {2}


def test_one_student_shows_no_spread() -> None:
    found = ranking([80.0], [60.0], [63.0], [40.0], [50.0], [30.0])
    assert all(figure["std"] is None and figure["n"] == 1 for figure in found.values())
