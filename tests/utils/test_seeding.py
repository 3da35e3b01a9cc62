"""Random draws are keyed by purpose, and by nothing else."""

import itertools
import subprocess
import sys

import pytest
import torch

from ncfm_hub.utils.seeding import generator


def first_draws(seed: int, purpose: str, *keys: int) -> tuple[float, ...]:
    return tuple(torch.rand(4, generator=generator(seed, purpose, *keys)).tolist())


def test_the_same_keys_draw_the_same_whatever_was_drawn_before() -> None:
    before = first_draws(7, "step", 3)
    torch.manual_seed(99)
    torch.rand(10)
    for other in range(5):
        first_draws(7, "step", other)
    assert first_draws(7, "step", 3) == before


def test_every_part_of_the_key_counts() -> None:
    seeds, purposes = (0, 1, -1, 10), ("step", "class step", "start")
    keys = ((), (0,), (1,), (0, 0), (0, 1), (1, 0), (11, 1), (1, 11))
    draws = {first_draws(s, p, *k) for s, p, k in itertools.product(seeds, purposes, keys)}
    assert len(draws) == len(seeds) * len(purposes) * len(keys)


def test_seed_zero_is_a_seed() -> None:
    assert first_draws(0, "step", 1) == first_draws(0, "step", 1)
    assert first_draws(0, "step", 1) != first_draws(1, "step", 1)
    assert first_draws(0, "step", 1)[0] not in (0.0, torch.rand(1).item())


@pytest.mark.slow
def test_another_process_draws_the_same() -> None:
    code = (
        "import torch; from ncfm_hub.utils.seeding import generator; "
        "print(torch.randint(2**60, (3,), generator=generator(3, 'start', 5)).tolist())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str(torch.randint(2**60, (3,), generator=generator(3, "start", 5)).tolist())


def test_draws_of_neighbouring_steps_are_unrelated() -> None:
    rows = torch.stack([torch.randn(2000, generator=generator(0, "step", number)) for number in range(20)])
    correlations = torch.corrcoef(rows) - torch.eye(20)
    assert correlations.abs().max() < 5 / 2000**0.5
