"""Differentiable Siamese augmentation (DSA) with parameters per sample.

Source: Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021. As there, it acts on
normalised images (zero mean, unit deviation): a brightness shift of 0.5 is half a standard deviation, and pixels from
outside the frame are filled with the mean colour.

Legend: N images, c channels, (H, W) resolution. Sampling (`draw_augmentation`) is separate from applying (`augment`).
Both are pure functions of tensors, for all images of a step at once on the device that uses them. torchvision's
transforms draw one set of parameters for a whole batch, from the global generator, and clamp colours to [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ncfm_hub.matching.philox import Stream, below, scaled

GEOMETRIES = ("crop", "scale", "rotate")
CROP, SCALING, ROTATION = range(3)  # their places
BRIGHTNESS = 0.5
SATURATION = 2.0
CONTRAST = 0.5
SHIFT = 1 / 8
SCALE = 1.2
ROTATION_DEGREES = 15.0
CUTOUT = 0.5
DRAWS = 8  # of an image, at most


@dataclass(frozen=True)
class Augmentation:
    """Sampled augmentation parameters of N images.

    affine: (N, 2, 3), map from output to input in [-1, 1] coordinates (flip, and crop, scale or rotation)
    colour: (N, 3), brightness shift, saturation factor, contrast factor; None leaves colours unchanged
    cutout: (N, 4), first and last+1 row, first and last+1 column of the box set to zero; None for no cutout
    """

    affine: torch.Tensor
    colour: torch.Tensor | None
    cutout: torch.Tensor | None

    def __getitem__(self, rows: slice) -> "Augmentation":
        return self.map(lambda some: some[rows])

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Return the parameters, from which the same is made again."""
        return self.affine, self.colour, self.cutout

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "Augmentation":
        """Apply a function to each tensor of parameters."""
        colour, cutout = (None if some is None else function(some) for some in (self.colour, self.cutout))
        return Augmentation(function(self.affine), colour, cutout)


def draw_augmentation(
    random: Stream,
    size: tuple[int, int],
    *,
    geometry: torch.Tensor | int,
    flip: bool,
    colour: bool = True,
    cutout: bool = True,
) -> Augmentation:
    """Sample parameters for images of `size` (H, W), one for each item of `random`, flattened to N.

    geometry: the geometric transform of each image, by its place in GEOMETRIES; broadcasts to the items
    Each image takes the same number of draws whatever its transform.
    """
    affine = _draw_affine(random, size, geometry)
    if flip:
        sign = 1 - 2 * random.integers(2).flatten()
        affine[:, :, 0] *= sign[:, None]  # mirrors the output, that is, after crop, scale or rotation
    return Augmentation(
        affine,
        _draw_colour(random) if colour else None,
        _draw_cutout(random, size) if cutout else None,
    )


def augment(x: torch.Tensor, draw: Augmentation) -> torch.Tensor:
    """Apply sampled parameters: x (N, c, H, W), normalised, to the same shape; differentiable in x."""
    if draw.colour is not None:
        brightness, saturation, contrast = draw.colour[:, :, None, None, None].unbind(1)
        x = x + brightness
        grey = x.mean(1, keepdim=True)
        x = (x - grey) * saturation + grey
        mean = x.mean((1, 2, 3), keepdim=True)
        x = (x - mean) * contrast + mean
    grid = _grid(draw.affine, x.shape[-2], x.shape[-1])
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return x if draw.cutout is None else x * _kept(draw.cutout, x.shape[-2], x.shape[-1])


def _grid(affine: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return where each pixel looks (N, H, W, 2), as `F.affine_grid` does by a product, which GPUs round to TF32."""
    x, y = (
        ((2 * torch.arange(length, device=affine.device) + 1) / length - 1).to(affine.dtype)
        for length in (width, height)
    )
    rows = affine[:, :, :, None, None].unbind(2)  # of x, of y, and constant: (N, 2, 1, 1)
    return (rows[0] * x[None, None, None] + rows[1] * y[None, None, :, None] + rows[2]).movedim(1, -1)


def _draw_affine(random: Stream, size: tuple[int, int], geometry: torch.Tensor | int) -> torch.Tensor:
    """Sample maps (N, 2, 3); every image takes two draws, whichever its transform."""
    words = random.word().flatten(), random.word().flatten()
    along = torch.stack(words, 1)  # for x, then y
    crop, scale, rotate = (torch.zeros(len(along), 2, 3, device=along.device) for _ in GEOMETRIES)
    crop[:, 0, 0] = crop[:, 1, 1] = 1
    for axis, length in ((0, size[1]), (1, size[0])):
        # Whole pixels, so that a crop shifts values without interpolating.
        most = int(SHIFT * length + 0.5)
        crop[:, axis, 2] = (below(along[:, axis], 2 * most + 1) - most) * 2 / length
        scale[:, axis, axis] = scaled(along[:, axis], 1 / SCALE, SCALE)
    limit = ROTATION_DEGREES * torch.pi / 180
    angle = scaled(along[:, 0], -limit, limit)
    rotate[:, 0, 0] = rotate[:, 1, 1] = angle.cos()
    rotate[:, 0, 1] = -angle.sin()
    rotate[:, 1, 0] = angle.sin()
    if not isinstance(geometry, torch.Tensor):
        return (crop, scale, rotate)[geometry]
    chosen = geometry.expand(random.shape).flatten()[:, None, None]
    return torch.where(chosen == CROP, crop, torch.where(chosen == SCALING, scale, rotate))


def _draw_colour(random: Stream) -> torch.Tensor:
    brightness = random.uniform(-BRIGHTNESS, BRIGHTNESS)
    saturation = random.uniform(0, SATURATION)
    contrast = random.uniform(1 - CONTRAST, 1 + CONTRAST)
    return torch.stack([brightness.flatten(), saturation.flatten(), contrast.flatten()], 1)


def _draw_cutout(random: Stream, size: tuple[int, int]) -> torch.Tensor:
    edges = []
    for length in size:
        side = int(CUTOUT * length + 0.5)
        # As in the original, the centre lies anywhere in the frame, so a box may extend beyond it.
        first = random.integers(length + (1 - side % 2)).flatten() - side // 2
        edges += [first.clamp_min(0), (first + side).clamp_max(length)]
    return torch.stack(edges, 1)


def _kept(box: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return a mask (N, 1, H, W): 0 inside the box, 1 outside."""
    rows = torch.arange(height, device=box.device)
    columns = torch.arange(width, device=box.device)
    inside_rows = (rows >= box[:, 0:1]) & (rows < box[:, 1:2])  # (N, H)
    inside_columns = (columns >= box[:, 2:3]) & (columns < box[:, 3:4])  # (N, W)
    return (~(inside_rows[:, None, :, None] & inside_columns[:, None, None, :])).float()
