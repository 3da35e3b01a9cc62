"""The sheet: how many images a page has room for, and how large."""

import itertools

from ncfm_hub.reporting.sheet import make_grid


def test_all_pixels_of_a_page_stay_within_its_room():
    cases = itertools.product((1, 10, 20, 50, 100, 1000), (1, 10, 50), (8, 28, 32, 64, 128, 256), (1, 2, 6))
    for classes, ipc, side, sheets in cases:
        grid = make_grid(classes, ipc, side, sheets)
        assert grid.classes == min(classes, 100)
        assert 1 <= grid.columns <= min(ipc, 10)
        pixels = sheets * grid.classes * grid.columns * grid.cell**2
        # A pixel of noise takes less than 5 bytes in base64 (RGB and transparency), and 8 where it is enlarged.
        assert pixels * (8 if grid.zoom > 1 else 5) <= 4_000_000
        assert grid.cell == side or pixels > 600_000
