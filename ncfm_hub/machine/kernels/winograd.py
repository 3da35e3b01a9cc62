"""3 x 3 convolution with a quarter of the direct form's multiplications, for networks on CPUs.

Winograd's minimal filtering F(4 x 4, 3 x 3): a 4 x 4 tile of the output comes from a 6 x 6 tile of the input through 36
products per pair of channels in place of 144. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", CVPR 2016, who take the points 0, 1, -1, 2, -2 and infinity. With 2/3 and 3/2 in place of 1 and 2 rounding
errors are half as large, about five times those of the direct form; on choosing points: Barabasz et al., "Error
Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", ACM TOMS 2020.

The passes over the maps are in `winograd.cpp`: written with torch's operations, they take longer than the products do.

Legend: N images, C input and O output channels, (H, W) resolution, T = N ceil(H/4) ceil(W/4) tiles.
"""

from pathlib import Path
from typing import Any

import torch

from ncfm_hub.machine.native import call, native_library

TILES_AT_ONCE = 256  # of the sizes tried the fastest, or within 2 % of it, at 128 channels and maps of 8 and 16 pixels
SOURCE = Path(__file__).with_suffix(".cpp")
A, B = 2 / 3, 3 / 2
# G: the transform of a kernel along one axis, a row for each of the points 0, A, -A, B, -B and infinity.
OF_KERNEL = (
    (1, 0, 0),
    *(
        tuple((sign * p) ** power / (2 * p**2 * (p**2 - q**2)) for power in range(3))
        for p, q in ((A, B), (B, A))
        for sign in (1, -1)
    ),
    (0, 0, 1),
)


class WinogradConvolution(torch.autograd.Function):
    """x (N, C, H, W) and weight (O, C, 3, 3), fp32 on the CPU -> (N, O, H, W): stride 1, padding 1, no bias.

    The two ways back are products in Winograd's domain as well. What comes out is in channels_last memory.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return _filtered(x, kernel_tiles(weight.transpose(0, 1)))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:  # the convolution with the kernel turned round
            of_x = _filtered(gradient, kernel_tiles(weight.flip(2, 3)))
        if ctx.needs_input_grad[1]:
            tiles = x.new_zeros(36, *weight.shape[:2])
            for some in _parts(x):
                above = output_gradient_tiles(gradient[some]).transpose(1, 2)
                torch.baddbmm(tiles, above, input_tiles(x[some]), out=tiles)
            of_weight = kernel_gradient(tiles)
        return of_x, of_weight


def _filtered(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) convolved with a kernel's tiles (36, C, O) -> (N, O, H, W)."""
    maps = x.new_empty(len(x), *x.shape[2:], kernel.shape[2]).permute(0, 3, 1, 2)
    for some in _parts(x):
        output_maps(torch.bmm(input_tiles(x[some]), kernel), maps[some])
    return maps


def _parts(x: torch.Tensor) -> list[slice]:
    """Images (N, ...) in groups whose tiles stay in the cache from one pass to the next, and whose product is fast."""
    images = max(1, TILES_AT_ONCE // _tiles(x))
    return [slice(first, first + images) for first in range(0, len(x), images)]


def kernel_tiles(weight: torch.Tensor) -> torch.Tensor:
    """G g G^T: (O, C, 3, 3) -> (36, O, C)."""
    taps = weight.permute(2, 3, 0, 1)
    return (_both_axes(weight) @ taps.reshape(9, -1)).reshape(36, *taps.shape[2:])


def kernel_gradient(tiles: torch.Tensor) -> torch.Tensor:
    """The adjoint of `kernel_tiles`: (36, O, C) -> (O, C, 3, 3)."""
    taps = _both_axes(tiles).T @ tiles.reshape(36, -1)
    return taps.reshape(3, 3, *tiles.shape[1:]).permute(2, 3, 0, 1)


def input_tiles(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> B^T d B of all its 6 x 6 patches, 4 pixels apart and 1 beyond the edge: (36, T, C)."""
    return _to_tiles(x, "input_tiles")


def output_maps(tiles: torch.Tensor, maps: torch.Tensor) -> None:
    """A^T m A of (36, T, O), put together into `maps` (N, O, H, W), which are in channels_last memory."""
    count, channels, height, width = maps.shape
    call(native_library(SOURCE), "output_maps", tiles, maps, count, height, width, channels)


def output_gradient_tiles(gradient: torch.Tensor) -> torch.Tensor:
    """The adjoint of `output_maps`: (N, O, H, W) -> (36, T, O)."""
    return _to_tiles(gradient, "output_gradient_tiles")


def _to_tiles(maps: torch.Tensor, way: str) -> torch.Tensor:
    maps = maps.contiguous(memory_format=torch.channels_last)
    count, channels, height, width = maps.shape
    tiles = maps.new_empty(36, count * _tiles(maps), channels)
    call(native_library(SOURCE), way, maps, tiles, count, height, width, channels)
    return tiles


def _tiles(maps: torch.Tensor) -> int:
    """Of each of the maps (N, C, H, W)."""
    return -(-maps.shape[2] // 4) * -(-maps.shape[3] // 4)


def _both_axes(like: torch.Tensor) -> torch.Tensor:
    """The transform of a kernel along both axes as one matrix (36, 9)."""
    g = torch.tensor(OF_KERNEL, dtype=torch.float64)
    return torch.kron(g, g).to(like)
