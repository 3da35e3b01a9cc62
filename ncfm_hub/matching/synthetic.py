"""Stored images and the training images decoded from them (multi-formation).

Legend: S stored images, factor rho, M = S rho^2 decoded images, c channels, (H, W) resolution.
A stored image is a rho x rho tiling. Decoded images follow the order of stored images, tiles row by row.
"""

import torch
import torch.nn.functional as F


def check_factor(height: int, width: int, factor: int) -> None:
    """Raise ValueError unless an image of (height, width) divides into factor x factor equal tiles."""
    if height % factor or width % factor:
        raise ValueError(f"images of {height} x {width} px do not cut into {factor} x {factor} whole tiles")


def cut_tiles(stored: torch.Tensor, factor: int) -> torch.Tensor:
    """Cut (S, c, H, W) into tiles (S rho^2, c, H / rho, W / rho)."""
    count, channels, height, width = stored.shape
    check_factor(height, width, factor)
    tiles = stored.reshape(count, channels, factor, height // factor, factor, width // factor)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // factor, width // factor)


def join_tiles(tiles: torch.Tensor, factor: int) -> torch.Tensor:
    """Join tiles, the inverse of `cut_tiles`: (S rho^2, c, h, w) -> (S, c, rho h, rho w)."""
    count, channels, height, width = tiles.shape
    grid = tiles.reshape(count // factor**2, factor, factor, channels, height, width)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, factor * height, factor * width)


def decode(stored: torch.Tensor, factor: int) -> torch.Tensor:
    """Cut each stored image into tiles and enlarge each to full size (bilinear, align_corners=False).

    stored: (S, c, H, W) float in [0, 1]
    Returns (S rho^2, c, H, W), differentiable in `stored`.
    """
    if factor == 1:
        return stored
    return F.interpolate(cut_tiles(stored, factor), size=stored.shape[-2:], mode="bilinear", align_corners=False)


def mixed_tiles(images: torch.Tensor, factor: int) -> torch.Tensor:
    """Build the initialisation (real tiles): shrink real images (antialiased) and tile them.

    images: (S rho^2, c, H, W) uint8
    Returns stored images (S, c, H, W) float in [0, 1].
    """
    height, width = images.shape[-2:]
    check_factor(height, width, factor)
    pixels = images.float() / 255
    if factor > 1:
        size = (height // factor, width // factor)
        pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
    return join_tiles(pixels, factor)
