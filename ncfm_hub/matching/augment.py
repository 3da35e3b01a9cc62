"""Differentiable Siamese augmentation (DSA) with parameters per sample.

Source: Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021. As there, it acts on
normalised images (zero mean, unit deviation): a brightness shift of 0.5 is half a standard deviation, and pixels from
outside the frame are filled with the mean colour.

Legend: N images, c channels, (H, W) resolution. Sampling (`draw_augmentation`) is separate from applying (`augment`):
parameters come from keyed CPU generators, and applying them is a pure function of tensors. torchvision's transforms
draw one set of parameters for a whole batch, from the global generator, and clamp colours to [0, 1].
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

GEOMETRIES = ("crop", "scale", "rotate")
BRIGHTNESS = 0.5
SATURATION = 2.0
CONTRAST = 0.5
SHIFT = 1 / 8
SCALE = 1.2
ROTATION_DEGREES = 15.0
CUTOUT = 0.5


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
        return Augmentation(
            self.affine[rows],
            None if self.colour is None else self.colour[rows],
            None if self.cutout is None else self.cutout[rows],
        )

    def to(self, device: torch.device) -> "Augmentation":
        return replace(
            self,
            affine=self.affine.to(device),
            colour=None if self.colour is None else self.colour.to(device),
            cutout=None if self.cutout is None else self.cutout.to(device),
        )


def join(parts: list[Augmentation]) -> Augmentation:
    """Concatenate the parameters of several groups of images.

    Colour and cutout must each be set in all groups or in none.
    """
    colours = [part.colour for part in parts if part.colour is not None]
    cutouts = [part.cutout for part in parts if part.cutout is not None]
    return Augmentation(
        torch.cat([part.affine for part in parts]),
        torch.cat(colours) if colours else None,
        torch.cat(cutouts) if cutouts else None,
    )


def draw_geometry(generator: torch.Generator) -> str:
    """Sample a class's geometric transform in a step, shared by real and synthetic images: crop, scale or rotation."""
    return GEOMETRIES[int(torch.randint(len(GEOMETRIES), (), generator=generator))]


def draw_augmentation(
    count: int,
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    geometry: str,
    flip: bool,
    colour: bool = True,
    cutout: bool = True,
) -> Augmentation:
    """Sample parameters for `count` images of `size` (H, W)."""
    affine = _draw_affine(count, size, generator, geometry)
    if flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        affine[mirrored, :, 0] *= -1  # mirrors the output, that is, after crop, scale or rotation
    return Augmentation(
        affine,
        _draw_colour(count, generator) if colour else None,
        _draw_cutout(count, size, generator) if cutout else None,
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
    grid = F.affine_grid(draw.affine, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return x if draw.cutout is None else x * _kept(draw.cutout, x.shape[-2], x.shape[-1])


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _draw_affine(count: int, size: tuple[int, int], generator: torch.Generator, geometry: str) -> torch.Tensor:
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = 1
    if geometry == "crop":
        # Whole pixels, so that a crop shifts values without interpolating.
        for axis, length in ((0, size[1]), (1, size[0])):
            most = int(SHIFT * length + 0.5)
            pixels = torch.randint(-most, most + 1, (count,), generator=generator)
            affine[:, axis, 2] = 2 * pixels / length
    elif geometry == "scale":
        for axis in (0, 1):
            affine[:, axis, axis] = _uniform(count, 1 / SCALE, SCALE, generator)
    elif geometry == "rotate":
        limit = ROTATION_DEGREES * torch.pi / 180
        angle = _uniform(count, -limit, limit, generator)
        affine[:, 0, 0] = affine[:, 1, 1] = angle.cos()
        affine[:, 0, 1] = -angle.sin()
        affine[:, 1, 0] = angle.sin()
    elif geometry != "none":
        raise ValueError(f"geometry is one of {GEOMETRIES} or 'none', found {geometry!r}")
    return affine


def _draw_colour(count: int, generator: torch.Generator) -> torch.Tensor:
    brightness = _uniform(count, -BRIGHTNESS, BRIGHTNESS, generator)
    saturation = _uniform(count, 0, SATURATION, generator)
    contrast = _uniform(count, 1 - CONTRAST, 1 + CONTRAST, generator)
    return torch.stack([brightness, saturation, contrast], 1)


def _draw_cutout(count: int, size: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    edges = []
    for length in size:
        side = int(CUTOUT * length + 0.5)
        # As in the original, the centre lies anywhere in the frame, so a box may extend beyond it.
        first = torch.randint(0, length + (1 - side % 2), (count,), generator=generator) - side // 2
        edges += [first.clamp_min(0), (first + side).clamp_max(length)]
    return torch.stack(edges, 1)


def _kept(box: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return a mask (N, 1, H, W): 0 inside the box, 1 outside."""
    rows = torch.arange(height, device=box.device)
    columns = torch.arange(width, device=box.device)
    inside_rows = (rows >= box[:, 0:1]) & (rows < box[:, 1:2])  # (N, H)
    inside_columns = (columns >= box[:, 2:3]) & (columns < box[:, 3:4])  # (N, W)
    return (~(inside_rows[:, None, :, None] & inside_columns[:, None, None, :])).float()
