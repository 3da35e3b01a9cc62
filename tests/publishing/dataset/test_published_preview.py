"""The contact sheet: where the images stand, and that any number of classes with any names fits."""

import numpy as np
import pytest
import torch
from PIL import Image

from ncfm_hub.publishing import contact_sheet


def flat_images(classes: int, per_class: int, channels: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one grey value each, all different where there are fewer than 200."""
    count = classes * per_class
    values = (torch.arange(count) % 200 + 20).to(torch.uint8)
    images = values.view(-1, 1, 1, 1).expand(count, channels, side, side).contiguous()
    return images, torch.arange(classes).repeat_interleave(per_class)


def runs(sheet: Image.Image) -> dict[int, tuple[int, int, int]]:
    """Grey value -> (left, top, number of pixels) of all pixels that have it."""
    pixels = np.asarray(sheet.convert("L"))
    found = {}
    for value in np.unique(pixels).tolist():
        rows, columns = np.nonzero(pixels == value)
        found[value] = (int(columns.min()), int(rows.min()), len(rows))
    return found


def test_a_row_a_class_in_order(tmp_path):
    images, labels = flat_images(3, 4, 3, 16)
    contact_sheet(images, labels, ("ant", "bee", "cat"), tmp_path / "p.png", max_columns=3)
    found = runs(Image.open(tmp_path / "p.png"))
    at = {(c, k): found[20 + 4 * c + k][:2] for c in range(3) for k in range(3)}
    for c in range(3):
        assert at[c, 0][1] == at[c, 1][1] == at[c, 2][1]
        assert at[c, 0][0] < at[c, 1][0] < at[c, 2][0]
        assert found[20 + 4 * c][2] >= 48 * 48  # 16 px enlarged to at least 48
    assert at[0, 0][1] < at[1, 0][1] < at[2, 0][1]
    assert at[0, 0][0] == at[1, 0][0] == at[2, 0][0] > 24  # the names stand on the left
    assert 23 not in found or found[23][2] < 48 * 48  # the fourth image is beyond max_columns


def test_enlarged_pixels_stay_square_and_unmixed(tmp_path):
    image = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8).repeat(8, 8).view(1, 1, 16, 16)
    contact_sheet(image, torch.zeros(1, dtype=torch.int64), ("x",), tmp_path / "p.png")
    sheet = Image.open(tmp_path / "p.png")
    cell = sheet.crop((sheet.width - 24 - 48, 24, sheet.width - 24, 72)).convert("L")
    assert {value for _, value in cell.getcolors()} == {0, 255}


NAMES = ["猫", "ünïcode", "a" * 500, "", "two\nlines", "\u202eright", "日本語 mixed", "🙂", "../../x", "</svg>"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "per_class", "channels", "side"),
    [(1, 1, 1, 8), (10, 10, 3, 32), (10, 50, 3, 128), (100, 4, 3, 32), (200, 2, 3, 64), (1000, 1, 3, 128)],
)
def test_any_number_of_classes_stays_moderate(tmp_path, classes, per_class, channels, side):
    generator = torch.Generator().manual_seed(0)  # noise is the hardest to compress
    shape = (classes * per_class, channels, side, side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    names = tuple(f"{NAMES[c % 10]}{c if c > 9 else ''}" for c in range(classes))
    contact_sheet(images, torch.arange(classes).repeat_interleave(per_class), names, tmp_path / "p.png")
    sheet = Image.open(tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size < 3_000_000
    assert max(sheet.size) < 3000
    assert sheet.width / sheet.height < 4
