"""Charts: marks at round numbers, and everything in its place."""

import itertools
import math
import re

import pytest

from ncfm_hub.reporting.charts import Line, make_axis, make_bar, make_plot

RANGES = [(0, 100), (0, 63.4), (16.98, 29.15), (-3, 4), (0, 1e-4), (99.2, 99.9), (12345, 98765), (5, 5), (0, 250)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_an_axis_holds_its_values_between_few_round_marks(low, high):
    axis = make_axis([high, low], "")
    numbers = [float(text.replace(",", "")) for _, text in axis.ticks]
    steps = {round(b - a, 9) for a, b in itertools.pairwise(numbers)}
    (step,) = steps
    assert f"{step:e}"[0] in "125"
    assert 3 <= len(numbers) <= 8
    assert numbers[0] <= low <= high <= numbers[-1]
    room = step * (1 + 1e-9) if low < high else 1
    assert low - numbers[0] <= room
    assert numbers[-1] - high <= room
    for at, number in zip([at for at, _ in axis.ticks], numbers, strict=True):
        expected = 100 * (number - numbers[0]) / (numbers[-1] - numbers[0])
        assert at == pytest.approx(expected, abs=0.01)
        assert axis.at(number) == pytest.approx(expected, abs=0.01)


def test_what_lies_beyond_an_axis_stands_at_its_end():
    axis = make_axis([0, 10], "")
    assert (axis.at(-5), axis.at(11)) == (0, 100)


def points_of(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](\S+?) ([\d.e-]+)", path)]


def test_a_line_goes_through_its_points_and_its_band_round_them():
    points = ((0.0, 10.0), (5.0, 30.0), (10.0, 20.0))
    spread = (2.0, 0.0, 5.0)
    plot = make_plot([Line("a", "blue", points, spread, dots=True)], "x", "y", "said")
    (drawn,) = plot.lines
    assert (plot.x.low, plot.x.high, plot.y.low, plot.y.high) == (0, 10, 5, 30)

    def place(x: float, y: float) -> tuple[float, float]:
        return 10 * x, 100 - 4 * (y - 5)

    assert points_of(drawn.path) == [place(*point) for point in points]
    assert points_of(drawn.dots) == [place(*point) for point in points]
    upper = [place(x, y + s) for (x, y), s in zip(points, spread, strict=True)]
    lower = [place(x, y - s) for (x, y), s in zip(points, spread, strict=True)]
    assert points_of(drawn.band) == [*upper, *reversed(lower)]


def test_dots_without_a_line():
    (drawn,) = make_plot([Line("a", "blue", ((1.0, 2.0),), joined=False, dots=True)], "x", "y", "said").lines
    assert (drawn.path, drawn.band, drawn.dots) == ("", "", "M50 50h0")


def test_a_bar_and_its_whisker():
    axis = make_axis([0, 80], "")
    bar = make_bar("a", "blue", 60, 4, 5, axis)
    assert bar.length == 75
    assert bar.whisker == (70, 80)
    assert make_bar("a", "blue", 60, None, 1, axis).whisker is None
    assert not math.isnan(bar.mean)
