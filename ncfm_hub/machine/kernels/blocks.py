"""What a ConvNet's blocks do around their convolutions, and the whole first block, in few passes over memory on CPUs.

Instance norm, ReLU and pooling are bound by memory, and so is a first convolution of three channels: `blocks.cpp` does
them image after image, in the cache. Way back: the first block's maps are computed again and never stored.

Legend: N images, C channels (O those that come out of the first convolution), (H, W) resolution. All is fp32 on the
CPU, and what comes out is in channels_last memory.
"""

from pathlib import Path
from typing import Any

import torch

from ncfm_hub.machine.native import call, native_library

SOURCE = Path(__file__).with_suffix(".cpp")
CHANNELS_TOGETHER = 64  # the first block computes so many of its outputs at once
TAPS = 32  # 9 values of each of at most 3 channels, filled up to whole vectors


def first_block_works(in_channels: int, out_channels: int) -> bool:
    """Whether `FirstBlock` can do a convolution of these channels."""
    return 9 * in_channels <= TAPS and out_channels % CHANNELS_TOGETHER == 0


class NormReluPool(torch.autograd.Function):
    """Affine instance norm, ReLU and 2 x 2 average pooling of x (N, C, H, W), with weight and bias (C,) of the norm."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        count, channels, height, width = x.shape
        pooled, mean, inverse = _empty(x, channels)
        sizes = (count, height, width, channels)
        call(native_library(SOURCE), "pool_forward", x, weight, bias, epsilon, *sizes, pooled, mean, inverse)
        ctx.save_for_backward(x, weight, bias, mean, inverse)
        return pooled

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        x, weight, bias, mean, inverse = ctx.saved_tensors
        count, channels, height, width = x.shape
        of_x, of_weight, of_bias = torch.empty_like(x), torch.empty_like(mean), torch.empty_like(mean)
        given = (gradient, x, weight, bias, mean, inverse, count, height, width, channels)
        call(native_library(SOURCE), "pool_backward", *given, of_x, of_weight, of_bias)
        return of_x, of_weight.sum(0), of_bias.sum(0), None


class FirstBlock(torch.autograd.Function):
    """3 x 3 convolution of 1 to 3 channels with kernel (O, C, 3, 3), then as `NormReluPool`.

    The norm takes away what a bias of the convolution adds, so there is none.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, kernel: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        count, channels, height, width = x.shape
        taps = kernel.permute(2, 3, 1, 0).contiguous()  # (3, 3, C, O)
        pooled, mean, inverse = _empty(x, len(kernel))
        sizes = (count, height, width, channels, len(kernel))
        call(native_library(SOURCE), "first_forward", x, taps, weight, bias, epsilon, *sizes, pooled, mean, inverse)
        ctx.save_for_backward(x, taps, weight, bias, mean, inverse)
        return pooled

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        x, taps, weight, bias, mean, inverse = ctx.saved_tensors
        count, channels, height, width = x.shape
        outputs = taps.shape[-1]
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_taps = x.new_empty(count, *taps.shape) if ctx.needs_input_grad[1] else None
        of_weight, of_bias = torch.empty_like(mean), torch.empty_like(mean)
        turned = x.new_zeros(outputs, TAPS)
        turned[:, : 9 * channels] = taps.flatten(0, 2).T
        given = (x, gradient, taps, turned, weight, bias, mean, inverse, count, height, width, channels, outputs)
        call(native_library(SOURCE), "first_backward", *given, of_taps, of_weight, of_bias, of_x)
        of_kernel = None if of_taps is None else of_taps.sum(0).permute(3, 2, 0, 1)
        return of_x, of_kernel, of_weight.sum(0), of_bias.sum(0), None


def _empty(x: torch.Tensor, channels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Room for pooled maps (N, channels, H/2, W/2), and means and inverse deviations (N, channels)."""
    count, _, height, width = x.shape
    pooled = x.new_empty(count, height // 2, width // 2, channels).permute(0, 3, 1, 2)
    return pooled, x.new_empty(count, channels), x.new_empty(count, channels)
