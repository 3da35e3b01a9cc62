"""Multi-formation: decoding, cutting and joining tiles, and the initialisation."""

import pytest
import torch
import torch.nn.functional as F

from ncfm_hub.distillation.start import make_start, start_rows
from ncfm_hub.matching.synthetic import check_factor, cut_tiles, decode, join_tiles, mixed_tiles
from tests import oracle
from tests.matching.tiny import tiny_source


def pictures(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, height, width, generator=draws, dtype=torch.float64)


@pytest.mark.parametrize(("factor", "height", "width"), [(2, 16, 16), (2, 28, 28), (3, 12, 18), (4, 16, 8), (1, 8, 8)])
def test_decode_resizes_every_tile_by_itself(factor: int, height: int, width: int) -> None:
    stored = pictures(3, 2, height, width)
    found = decode(stored, factor)
    high, wide = height // factor, width // factor
    naive = [
        F.interpolate(
            stored[s : s + 1, :, high * row : high * (row + 1), wide * column : wide * (column + 1)],
            size=(height, width),
            mode="bilinear",
            align_corners=False,
        )
        for s in range(3)
        for row in range(factor)
        for column in range(factor)
    ]
    assert found.shape == (3 * factor**2, 2, height, width)
    torch.testing.assert_close(found, torch.cat(naive))
    torch.testing.assert_close(found, oracle.decode(stored, factor))
    assert found.min() >= 0
    assert found.max() <= 1


def test_decode_gives_gradients_of_its_transpose() -> None:
    stored = pictures(2, 1, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: decode(x, 2), (stored,))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_cut_and_join_are_inverse(factor: int) -> None:
    stored = pictures(2, 3, 6 * factor, 4 * factor)
    tiles = cut_tiles(stored, factor)
    assert tiles.shape == (2 * factor**2, 3, 6, 4)
    assert torch.equal(join_tiles(tiles, factor), stored)
    assert torch.equal(cut_tiles(join_tiles(tiles, factor), factor), tiles)


def test_tiles_are_cut_row_by_row() -> None:
    stored = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert [tile[0, 0, 0].item() for tile in cut_tiles(stored, 2)] == [0, 2, 8, 10]


def test_a_factor_that_leaves_parts_of_tiles_is_refused() -> None:
    with pytest.raises(ValueError, match="28 x 28 px do not cut into 3 x 3"):
        check_factor(28, 28, 3)
    with pytest.raises(ValueError, match="do not cut"):
        decode(torch.zeros(1, 1, 28, 28), 3)


def test_mixed_tiles_hold_each_image_shrunk_in_its_place() -> None:
    levels = torch.tensor([0, 51, 102, 255, 10, 20, 30, 40], dtype=torch.uint8)
    flat = levels[:, None, None, None].expand(8, 3, 8, 8).contiguous()
    stored = mixed_tiles(flat, 2)
    assert stored.shape == (2, 3, 8, 8)
    assert stored.dtype == torch.float32
    corners = stored[:, 0, ::7, ::7].flatten()
    torch.testing.assert_close(corners, levels.float() / 255)
    torch.testing.assert_close(decode(stored, 2)[:, 0, 3, 3], levels.float() / 255)


def test_mixed_tiles_shrink_with_antialiasing() -> None:
    """A checkerboard of single pixels becomes grey, not one of its two colours."""
    board = (torch.arange(16)[:, None] + torch.arange(16)[None, :]) % 2 * 255
    stored = mixed_tiles(board.to(torch.uint8).expand(4, 1, 16, 16).contiguous(), 2)
    torch.testing.assert_close(stored[..., 2:6, 2:6], torch.full((1, 1, 4, 4), 0.5), atol=0.01, rtol=0)


def test_mixed_tiles_of_factor_one_are_the_images() -> None:
    images = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(mixed_tiles(images, 1) * 255, images.float())


def test_the_start_is_made_of_the_class_s_own_images_without_repetition() -> None:
    source = tiny_source(per_class=12, classes=3)
    for c in range(3):
        rows = start_rows(source, c, 3, 2, seed=0)
        assert len(set(rows.tolist())) == 12
        assert (source.train.labels[rows] == c).all()
    assert start_rows(source, 0, 2, 2, seed=0).tolist() != start_rows(source, 0, 2, 2, seed=1).tolist()
    assert start_rows(source, 0, 2, 2, seed=0).tolist() != source.class_indices()[0][:8].tolist()
    start = make_start(source, 2, 2, seed=0)
    expected = mixed_tiles(source.train.images[start_rows(source, 1, 2, 2, seed=0)], 2)
    assert start.shape == (6, 3, 16, 16)
    assert torch.equal(start[2:4], expected)


def test_a_class_smaller_than_its_start_repeats_images() -> None:
    source = tiny_source(per_class=5, classes=2)
    rows = start_rows(source, 1, 2, 2, seed=0)
    assert len(rows) == 8
    assert (source.train.labels[rows] == 1).all()
