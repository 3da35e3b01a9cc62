"""DSA: what is drawn, and what is done with it, against an image-by-image oracle in float64."""

from dataclasses import replace

import pytest
import torch

from ncfm_hub.matching.augment import GEOMETRIES, Augmentation, augment, draw_augmentation
from ncfm_hub.matching.philox import Stream, key_of
from tests import oracle


def draw(
    count: int,
    geometry: str,
    *,
    seed: int = 0,
    size: tuple[int, int] = (16, 16),
    flip: bool = True,
    colour: bool = True,
    cutout: bool = True,
) -> Augmentation:
    random = Stream(key_of(seed, "test"), torch.arange(count))
    place = GEOMETRIES.index(geometry)
    return draw_augmentation(random, size, geometry=place, flip=flip, colour=colour, cutout=cutout)


def unmoved(found: Augmentation) -> Augmentation:
    """The same without the crop, scale or rotation: mirrored or not."""
    affine = torch.eye(2, 3).repeat(len(found.affine), 1, 1)
    affine[:, 0, 0] = found.affine[:, 0, 0].sign()
    return replace(found, affine=affine)


def images(count: int, channels: int = 3, size: tuple[int, int] = (16, 16)) -> torch.Tensor:
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(1))


def neutral(count: int) -> Augmentation:
    identity = torch.eye(2, 3).expand(count, 2, 3).clone()
    return Augmentation(identity, torch.tensor([0.0, 1.0, 1.0]).expand(count, 3).clone(), None)


def in_double(found: Augmentation) -> Augmentation:
    colour = None if found.colour is None else found.colour.double()
    return replace(found, affine=found.affine.double(), colour=colour)


def side(found: Augmentation) -> oracle.SideDraw:
    return oracle.SideDraw(found.affine, found.colour, found.cutout)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("channels", "size"), [(3, (16, 16)), (1, (9, 12))])
def test_application_is_the_oracle_s(geometry: str, channels: int, size: tuple[int, int]) -> None:
    x, found = images(6, channels, size), draw(6, geometry, size=size)
    done = augment(x, found)
    assert done.shape == x.shape
    torch.testing.assert_close(done.double(), oracle.augment(x.double(), side(found)), atol=2e-5, rtol=0)


def test_neutral_parameters_change_nothing() -> None:
    x = images(4)
    torch.testing.assert_close(augment(x, neutral(4)), x, atol=1e-5, rtol=0)


def test_a_crop_moves_whole_pixels() -> None:
    x, found = images(40), draw(40, "crop", flip=False, colour=False, cutout=False)
    done = augment(x, found)
    seen = set()
    for image, moved, affine in zip(x, done, found.affine, strict=True):
        across, down = (round(float(shift) * 8, 6) for shift in affine[:, 2])
        assert across == int(across)
        assert down == int(down)
        expected = torch.zeros_like(image)
        for row in range(16):
            for column in range(16):
                r, c = row + int(down), column + int(across)
                if 0 <= r < 16 and 0 <= c < 16:
                    expected[:, row, column] = image[:, r, c]
        torch.testing.assert_close(moved, expected, atol=2e-5, rtol=0)
        seen |= {int(across), int(down)}
    assert seen == {-2, -1, 0, 1, 2}  # an eighth of 16, both ways


def test_a_rotation_by_hand() -> None:
    """A quarter turn carries the pixel right of the centre to where the affine map says: rows become columns."""
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 1, 2] = 1.0
    quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    done = augment(x, Augmentation(quarter, None, None))
    expected = torch.zeros(1, 1, 5, 5)
    expected[0, 0, 2, 1] = 1.0  # output (row 2, column 1) is (x, y) = (-.4, 0) and looks at (0, -.4): row 1, column 2
    torch.testing.assert_close(done, expected, atol=1e-5, rtol=0)


def test_rotations_are_pure_and_within_fifteen_degrees() -> None:
    affine = draw(500, "rotate", flip=False).affine.double()
    turn = affine[:, :, :2]
    torch.testing.assert_close(turn @ turn.mT, torch.eye(2).double().expand(500, 2, 2), atol=1e-6, rtol=0)
    degrees = torch.rad2deg(torch.atan2(affine[:, 1, 0], affine[:, 0, 0]))
    assert -15 <= degrees.min() < -14
    assert 14 < degrees.max() <= 15
    assert (affine[:, :, 2] == 0).all()


def test_scales_are_drawn_per_axis() -> None:
    affine = draw(500, "scale", flip=False).affine
    for axis in (0, 1):
        assert 1 / 1.2 <= affine[:, axis, axis].min() < 0.845
        assert 1.19 < affine[:, axis, axis].max() <= 1.2
    assert (affine[:, 0, 0] != affine[:, 1, 1]).float().mean() > 0.99
    assert (affine[:, 0, 1] == 0).all()
    assert (affine[:, :, 2] == 0).all()


def test_colours_have_the_strengths_of_the_documentation_per_sample() -> None:
    colour = draw(2000, "crop").colour
    assert colour is not None
    brightness, saturation, contrast = colour.unbind(1)
    for values, low, high in ((brightness, -0.5, 0.5), (saturation, 0, 2), (contrast, 0.5, 1.5)):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    assert len(torch.unique(brightness)) > 1900
    assert torch.corrcoef(colour.T).fill_diagonal_(0).abs().max() < 0.1


def test_saturation_zero_is_grey_and_contrast_scales_about_the_mean() -> None:
    x = images(1)
    grey = replace(neutral(1), colour=torch.tensor([[0.0, 0.0, 1.0]]))
    torch.testing.assert_close(augment(x, grey), x.mean(1, keepdim=True).expand_as(x), atol=1e-5, rtol=0)
    flat = replace(neutral(1), colour=torch.tensor([[0.25, 1.0, 0.5]]))
    expected = (x + x.mean()) / 2 + 0.25
    torch.testing.assert_close(augment(x, flat), expected, atol=2e-5, rtol=0)


def test_cutout_zeroes_a_box_of_half_the_side_around_any_pixel() -> None:
    found = unmoved(draw(3000, "crop", flip=False, colour=False))
    assert found.cutout is not None
    top, bottom, left, right = found.cutout.unbind(1)
    assert (bottom - top).max() == 8
    assert (right - left).max() == 8
    assert (bottom - top).min() == 4  # centred on the frame's edge
    assert ((top >= 0) & (bottom <= 16) & (left >= 0) & (right <= 16)).all()
    done = augment(torch.ones(3000, 2, 16, 16), found)
    cut = (done < 0.5).sum((2, 3))
    assert torch.equal(cut[:, 0], (bottom - top) * (right - left))
    assert torch.equal(cut[:, 0], cut[:, 1])
    for number in range(5):
        t, b, l, r = found.cutout[number].tolist()  # noqa: E741 (left)
        assert done[number, :, t:b, l:r].abs().max() == 0


def test_half_of_the_images_are_mirrored_and_none_where_flipping_is_off() -> None:
    x = images(1).expand(1000, 3, 16, 16)
    done = augment(x, unmoved(draw(1000, "crop", colour=False, cutout=False)))
    mirrored = (done - x.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    kept = (done - x).abs().amax((1, 2, 3)) < 1e-4
    assert (mirrored ^ kept).all()
    assert 430 < mirrored.sum() < 570
    for geometry in GEOMETRIES:
        assert (draw(1000, geometry, flip=False).affine[:, 0, 0] > 0).all()


def test_a_mirrored_crop_is_the_mirror_of_a_crop() -> None:
    x, found = images(60), draw(60, "crop", colour=False, cutout=False)
    done = augment(x, found)
    flipped = found.affine[:, 0, 0] < 0
    assert 0 < flipped.sum() < 60
    unflipped = found.affine.clone()
    unflipped[flipped, :, 0] *= -1
    crop = augment(x, Augmentation(unflipped, None, None))
    torch.testing.assert_close(done[flipped], crop[flipped].flip(3), atol=2e-5, rtol=0)
    torch.testing.assert_close(done[~flipped], crop[~flipped])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_differentiable_in_the_pixels(geometry: str) -> None:
    found = in_double(draw(2, geometry, size=(6, 6)))
    x = images(2, 3, (6, 6)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda pixels: augment(pixels, found), (x,), atol=1e-7)


def test_slices_keep_each_sample_s_parameters() -> None:
    x, found = images(9), draw(9, "rotate")
    torch.testing.assert_close(augment(x[3:7], found[3:7]), augment(x, found)[3:7])


def test_every_image_has_the_geometry_it_is_given_and_the_draws_it_has_under_any_other() -> None:
    """Of images of two batches, and of one image apart."""
    places = torch.tensor([[0], [1], [2]])
    several = draw_augmentation(
        Stream(key_of(0, "test"), torch.arange(5), torch.arange(3)[:, None]), (16, 16), geometry=places, flip=True
    )
    for row in range(3):
        for item in range(5):
            random = Stream(key_of(0, "test"), torch.tensor([item]), row)
            alone = draw_augmentation(random, (16, 16), geometry=row, flip=True)
            both = [
                (found.affine, found.colour, found.cutout)
                for found in (several[5 * row + item : 5 * row + item + 1], alone)
            ]
            for one, other in zip(*both, strict=True):
                assert one is not None
                assert other is not None
                assert torch.equal(one, other)


def test_draws_depend_on_their_key_alone() -> None:
    def drawn(*key: int) -> torch.Tensor:
        random = Stream(key_of(0, "class step"), torch.arange(8), *key)
        return draw_augmentation(random, (16, 16), geometry=1, flip=True).affine

    first = drawn(4, 2)
    assert torch.equal(drawn(4, 2), first)
    for other in ((4, 3), (5, 2), (2, 4)):
        assert not torch.equal(drawn(*other), first)
