"""Learning rates of the images."""

import math

import pytest

from ncfm_hub.matching.schedule import PLATEAU_PATIENCE, PLATEAU_WINDOW, pixel_rate


def rate(schedule: str, number: int, losses: list[float] | None = None, steps: int = 1000) -> float:
    return pixel_rate(schedule, 0.02, number, steps, [(loss, 0.0) for loss in losses or []])


def test_constant_and_cosine() -> None:
    assert [rate("constant", number) for number in (0, 999)] == [0.02, 0.02]
    assert rate("cosine", 0) == pytest.approx(0.02)
    assert rate("cosine", 250) == pytest.approx(0.01 * (1 + math.cos(math.pi / 4)))
    assert 0 < rate("cosine", 999) < 1e-6


def test_plateau_halves_only_when_the_loss_stops_falling() -> None:
    steps = 3 * (PLATEAU_PATIENCE + 2) * PLATEAU_WINDOW
    falling = [100 - 0.01 * number for number in range(steps)]
    assert rate("plateau", steps, falling, steps) == 0.02
    flat = [5.0] * steps
    halved = (1 + PLATEAU_PATIENCE + 1) * PLATEAU_WINDOW  # the best window, then more than the patience without gain
    assert rate("plateau", halved - 1, flat, steps) == 0.02
    assert rate("plateau", halved, flat, steps) == 0.01
    assert rate("plateau", 0, [], steps) == 0.02


def test_plateau_looks_at_no_loss_of_the_future() -> None:
    steps = 4 * (PLATEAU_PATIENCE + 2) * PLATEAU_WINDOW
    assert rate("plateau", 10, [5.0] * steps, steps) == 0.02


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(KeyError):
        rate("exponential", 0)
