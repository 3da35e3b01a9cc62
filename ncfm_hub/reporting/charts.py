"""Chart geometry in percent of width and height, so that a page can draw it at any size.

No markup here: the templates write it and escape values.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high` with ticks at round numbers: (position in percent, number as text)."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    label: str

    def at(self, value: float) -> float:
        """Return the position of `value` in percent of the axis, clamped to its ends."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)


def make_axis(values: Sequence[float], label: str, marks: int = 5) -> Axis:
    """Return an axis that covers all `values`, at least one, and ends at round numbers."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 1, high + 1
    step = _round_step((high - low) / marks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = [(100 * (i - first) / (last - first), f"{i * step:,.{decimals}f}") for i in range(first, last + 1)]
    return Axis(first * step, last * step, tuple((round(at, 2), text) for at, text in ticks), label)


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, ... (or .1, .2, .5, ...) not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


@dataclass(frozen=True)
class Line:
    """A series of a plot: (x, y) in data units, with the half height of its band if there is a spread.

    tone: name of its colour in the style sheet
    joined, dots: whether to draw lines and dots
    """

    name: str
    tone: str
    points: tuple[tuple[float, float], ...]
    spread: tuple[float, ...] = ()
    joined: bool = True
    dots: bool = False


@dataclass(frozen=True)
class DrawnLine:
    """A series as SVG paths in a 100 x 100 box, origin top left; empty if there is nothing to draw.

    path: the joined points
    band: outline of the spread
    dots: zero-length lines, which round caps turn into dots
    """

    name: str
    tone: str
    path: str
    band: str
    dots: str


@dataclass(frozen=True)
class Plot:
    """Lines over two axes. said: text alternative for screen readers."""

    x: Axis
    y: Axis
    lines: tuple[DrawnLine, ...]
    said: str


def make_plot(lines: Sequence[Line], x_label: str, y_label: str, said: str) -> Plot:
    """Return a plot of `lines`, each with at least one point."""
    xs = [x for line in lines for x, _ in line.points]
    ys: list[float] = []
    for line in lines:
        spread = line.spread or (0.0,) * len(line.points)
        ys += [y + sign * half for (_, y), half in zip(line.points, spread, strict=True) for sign in (-1, 1)]
    x, y = make_axis(xs, x_label), make_axis(ys, y_label)
    return Plot(x, y, tuple(_draw(line, x, y) for line in lines), said)


def _draw(line: Line, x: Axis, y: Axis) -> DrawnLine:
    def place(point: tuple[float, float]) -> str:
        return f"{x.at(point[0]):g} {round(100 - y.at(point[1]), 2):g}"

    def path(points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(map(place, points))

    band = ""
    if line.spread:
        both = list(zip(line.points, line.spread, strict=True))
        upper = [(a, b + half) for (a, b), half in both]
        lower = [(a, b - half) for (a, b), half in reversed(both)]
        band = path([*upper, *lower]) + "Z"
    dots = "".join(f"M{place(point)}h0" for point in line.points) if line.dots else ""
    return DrawnLine(line.name, line.tone, path(line.points) if line.joined else "", band, dots)


@dataclass(frozen=True)
class ChartBar:
    """A mean with its spread on an axis from zero: `length`, and `whisker` from and to, in percent.

    No whisker for a single student (evaluation network).
    """

    name: str
    tone: str
    mean: float
    std: float | None
    n: int
    length: float
    whisker: tuple[float, float] | None


def make_bar(name: str, tone: str, mean: float, std: float | None, n: int, axis: Axis) -> ChartBar:
    """Return a bar on `axis`; the whisker extends one standard deviation to each side."""
    whisker = None if std is None else (axis.at(mean - std), axis.at(mean + std))
    return ChartBar(name, tone, mean, std, n, axis.at(mean), whisker)
