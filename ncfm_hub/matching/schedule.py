"""Learning-rate schedules of the synthetic images.

Not those of `torch.optim.lr_scheduler`: they have a state, which every checkpoint would have to carry.
"""

from collections.abc import Callable

import torch

# Steps per window of averaged losses, and windows without improvement before the plateau schedule reacts.
PLATEAU_WINDOW = 100
PLATEAU_PATIENCE = 5


def pixel_rate(schedule: str, lr: float, number: int, steps: int, curve: list[tuple[float, float]]) -> float:
    """Return the learning rate at step `number`; it depends only on past losses, so a resumed run needs no state."""
    schedules: dict[str, Callable[[], float]] = {
        "constant": lambda: lr,
        "cosine": lambda: (
            lr * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * number / steps, dtype=torch.float64))))
        ),
        "plateau": lambda: lr * 0.5 ** _plateaus([ncfd for ncfd, _ in curve[:number]]),
    }
    return schedules[schedule]()


def _plateaus(losses: list[float]) -> int:
    """Count how often PLATEAU_PATIENCE consecutive windows failed to improve on the best earlier window."""
    count = waited = 0
    best = float("inf")
    for first in range(0, len(losses) - PLATEAU_WINDOW + 1, PLATEAU_WINDOW):
        mean = sum(losses[first : first + PLATEAU_WINDOW]) / PLATEAU_WINDOW
        waited = 0 if mean < best else waited + 1
        best = min(best, mean)
        if waited > PLATEAU_PATIENCE:
            count, waited = count + 1, 0
    return count
