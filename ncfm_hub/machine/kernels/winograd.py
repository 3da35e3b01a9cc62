"""3 x 3 convolution with a quarter of the direct form's multiplications, for networks on CPUs.

Winograd's minimal filtering F(4 x 4, 3 x 3): a 4 x 4 tile of the output comes from a 6 x 6 tile of the input through 36
products per pair of channels in place of 144. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", CVPR 2016, who take the points 0, 1, -1, 2, -2 and infinity. With 2/3 and 3/2 in place of 1 and 2 rounding
errors are half as large, about five times those of the direct form; on choosing points: Barabasz et al., "Error
Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", ACM TOMS 2020.

The convolution is in `winograd.cpp`, a few tiles at a time, whose points stay in a core's own cache from the transform
of the input through the products to the transform of the output. The weight gradient takes its products from torch, and
from there only the passes over the maps: with torch's operations they take longer than the products do.

Legend: N images, C input and O output channels, (H, W) resolution, T = N ceil(H/4) ceil(W/4) tiles.
"""

from pathlib import Path
from typing import Any

import torch

from ncfm_hub.machine.kernels.checks import AS_IMAGES, check, check_maps
from ncfm_hub.machine.native import call

TILES_AT_ONCE = 256  # of the weight gradient: of the sizes tried the fastest at 128 channels, maps of 8 and 16 pixels
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


@torch.library.custom_op("ncfm_hub::winograd", mutates_args=())
def convolution(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x (N, C, H, W) and weight (O, C, 3, 3), fp32 on the CPU -> (N, O, H, W): stride 1, padding 1, no bias.

    The two ways back are products in Winograd's domain as well. What comes out is in channels_last memory.
    Raises TypeError or ValueError for other tensors.
    """
    maps = _empty_maps(x, weight)
    x = x.contiguous(memory_format=AS_IMAGES)
    count, channels, height, width = x.shape
    of_kernel = torch.tensor(OF_KERNEL, dtype=torch.float32)
    call(SOURCE, "convolve", x, weight.contiguous(), of_kernel, maps, count, height, width, channels, len(weight))
    return maps


@convolution.register_fake
def _empty_maps(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    check_maps("x", x)
    check_maps("weight", weight, x.shape[1])
    check("weight", weight, (None, x.shape[1], 3, 3), None)
    return x.new_empty(x.shape[0], *x.shape[2:], weight.shape[0]).permute(0, 3, 1, 2)


@torch.library.custom_op("ncfm_hub::winograd_weight_gradient", mutates_args=())
def weight_gradient(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Gradients (N, O, H, W) of the convolution of x (N, C, H, W) -> that of its weight (O, C, 3, 3)."""
    _empty_weight(gradient, x)
    tiles = x.new_zeros(36, gradient.shape[1], x.shape[1])
    for some in _parts(x):
        above = output_gradient_tiles(gradient[some]).transpose(1, 2)
        torch.baddbmm(tiles, above, input_tiles(x[some]), out=tiles)
    return kernel_gradient(tiles)


@weight_gradient.register_fake
def _empty_weight(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    check_maps("x", x)
    check_maps("gradient", gradient)
    check("gradient", gradient, (x.shape[0], None, *x.shape[2:]), None)
    return x.new_empty(3, 3, gradient.shape[1], x.shape[1]).permute(2, 3, 0, 1)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, weight = inputs
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)


def _back(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    x, weight = ctx.saved_tensors
    of_x = of_weight = None
    if ctx.needs_input_grad[0]:  # the convolution with the kernel turned round
        of_x = convolution(gradient, weight.flip(2, 3).transpose(0, 1))
    if ctx.needs_input_grad[1]:
        of_weight = weight_gradient(gradient, x)
    return of_x, of_weight


convolution.register_autograd(_back, setup_context=_keep)


def _parts(x: torch.Tensor) -> list[slice]:
    """Images (N, ...) in groups whose tiles stay in the cache from one pass to the next, and whose product is fast."""
    images = max(1, TILES_AT_ONCE // _tiles(x))
    return [slice(first, first + images) for first in range(0, len(x), images)]


def kernel_gradient(tiles: torch.Tensor) -> torch.Tensor:
    """The adjoint of g -> G g G^T: (36, O, C) -> (O, C, 3, 3)."""
    g = torch.tensor(OF_KERNEL, dtype=torch.float64)
    taps = torch.kron(g, g).to(tiles).T @ tiles.reshape(36, -1)
    return taps.reshape(3, 3, *tiles.shape[1:]).permute(2, 3, 0, 1)


def input_tiles(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> B^T d B of all its 6 x 6 patches, 4 pixels apart and 1 beyond the edge: (36, T, C)."""
    return _to_tiles(x, "input_tiles")


def output_gradient_tiles(gradient: torch.Tensor) -> torch.Tensor:
    """(N, O, H, W) -> A g A^T of all its 4 x 4 tiles, the adjoint of the output's transform: (36, T, O)."""
    return _to_tiles(gradient, "output_gradient_tiles")


def _to_tiles(maps: torch.Tensor, way: str) -> torch.Tensor:
    check_maps("maps", maps)
    maps = maps.contiguous(memory_format=torch.channels_last)
    count, channels, height, width = maps.shape
    tiles = maps.new_empty(36, count * _tiles(maps), channels)
    call(SOURCE, way, maps, tiles, count, height, width, channels)
    return tiles


def _tiles(maps: torch.Tensor) -> int:
    """Of each of the maps (N, C, H, W)."""
    return -(-maps.shape[2] // 4) * -(-maps.shape[3] // 4)
