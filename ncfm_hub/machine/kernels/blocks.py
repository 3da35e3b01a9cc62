"""What a ConvNet's blocks do around their convolutions, and the whole first block, in few passes over memory on CPUs.

Instance norm, ReLU and pooling are bound by memory, and so is a first convolution of three channels: `blocks.cpp` does
them image after image, in the cache. Way back: the first block's maps are computed again and never stored.

Legend: N images, C channels (O those that come out of the first convolution), (H, W) resolution. All is fp32 on the
CPU, and what comes out is in channels_last memory. Everything here raises TypeError or ValueError for other tensors.
"""

from pathlib import Path
from typing import Any

import torch

from ncfm_hub.machine.kernels.checks import AS_IMAGES, check, check_maps
from ncfm_hub.machine.native import call

SOURCE = Path(__file__).with_suffix(".cpp")
CHANNELS_TOGETHER = 64  # the first block computes so many of its outputs at once
TAPS = 32  # 9 values of each of at most 3 channels, filled up to whole vectors
_POOLED = 2  # pixels along each side that become one

Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Four = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def first_block_works(in_channels: int, out_channels: int) -> bool:
    """Whether `first_block` can do a convolution of these channels."""
    return 1 <= in_channels <= TAPS // 9 and out_channels > 0 and out_channels % CHANNELS_TOGETHER == 0


def norm_relu_pool(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Affine instance norm, ReLU and 2 x 2 average pooling of x (N, C, H, W), with weight and bias (C,) of the norm."""
    pooled: torch.Tensor = pool_forward(x, weight, bias, epsilon)[0]
    return pooled


def first_block(
    x: torch.Tensor, kernel: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """3 x 3 convolution of 1 to 3 channels with kernel (O, C, 3, 3), then as `norm_relu_pool`.

    The norm takes away what a bias of the convolution adds, so there is none.
    """
    pooled: torch.Tensor = first_forward(x, kernel, weight, bias, epsilon)[0]
    return pooled


@torch.library.custom_op("ncfm_hub::pool_forward", mutates_args=())
def pool_forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float) -> Three:
    """The pooled maps (N, C, H/2, W/2), and each map's mean and inverse deviation (N, C)."""
    made = _empty_pool_forward(x, weight, bias, epsilon)
    x = x.contiguous(memory_format=AS_IMAGES)
    call(SOURCE, "pool_forward", x, weight, bias, epsilon, *_sizes(x), *made)
    return made


@pool_forward.register_fake
def _empty_pool_forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float) -> Three:
    check_maps("x", x, smallest=_POOLED)
    _check_affine(weight, bias, x.shape[1])
    return _empty(x, x.shape[1])


@torch.library.custom_op("ncfm_hub::pool_backward", mutates_args=())
def pool_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    inverse: torch.Tensor,
) -> Three:
    """Gradients of x, weight and bias from that of the pooled maps and what `pool_forward` found."""
    of_x = _empty_pool_backward(gradient, x, weight, bias, mean, inverse)[0]
    gradient, x = gradient.contiguous(memory_format=AS_IMAGES), x.contiguous(memory_format=AS_IMAGES)
    of_weights, of_biases = torch.empty_like(mean), torch.empty_like(mean)  # each image's part
    given = (gradient, x, weight, bias, mean, inverse, *_sizes(x))
    call(SOURCE, "pool_backward", *given, of_x, of_weights, of_biases)
    return of_x, of_weights.sum(0), of_biases.sum(0)


@pool_backward.register_fake
def _empty_pool_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    inverse: torch.Tensor,
) -> Three:
    check_maps("x", x, smallest=_POOLED)
    _check_affine(weight, bias, x.shape[1])
    _check_found(gradient, mean, inverse, x, x.shape[1])
    return torch.empty_like(x, memory_format=AS_IMAGES), torch.empty_like(weight), torch.empty_like(bias)


def _keep_pool(ctx: Any, inputs: tuple[Any, ...], output: Three) -> None:
    x, weight, bias, _ = inputs
    _, mean, inverse = output
    ctx.mark_non_differentiable(mean, inverse)
    ctx.save_for_backward(x, weight, bias, mean, inverse)


def _pool_back(ctx: Any, gradient: torch.Tensor, *_: object) -> tuple[torch.Tensor | None, ...]:
    return *pool_backward(gradient, *ctx.saved_tensors), None


pool_forward.register_autograd(_pool_back, setup_context=_keep_pool)


@torch.library.custom_op("ncfm_hub::first_forward", mutates_args=())
def first_forward(
    x: torch.Tensor, kernel: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
) -> Three:
    """As `pool_forward`, of the maps of the first convolution."""
    made = _empty_first_forward(x, kernel, weight, bias, epsilon)
    x = x.contiguous(memory_format=AS_IMAGES)
    call(SOURCE, "first_forward", x, _taps(kernel), weight, bias, epsilon, *_sizes(x), len(kernel), *made)
    return made


@first_forward.register_fake
def _empty_first_forward(
    x: torch.Tensor, kernel: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
) -> Three:
    _check_first(x, kernel, weight, bias)
    return _empty(x, kernel.shape[0])


@torch.library.custom_op("ncfm_hub::first_backward", mutates_args=())
def first_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    kernel: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    inverse: torch.Tensor,
    wants_x: bool,
    wants_kernel: bool,
) -> Four:
    """Gradients of x, kernel, weight and bias; of the first two only what is wanted, else without a value."""
    given = (gradient, x, kernel, weight, bias, mean, inverse)
    of_x = _empty_first_backward(*given, wants_x, wants_kernel)[0]
    gradient, x = gradient.contiguous(memory_format=AS_IMAGES), x.contiguous(memory_format=AS_IMAGES)
    taps, channels = _taps(kernel), x.shape[1]
    of_taps = x.new_empty(len(x), *taps.shape) if wants_kernel else None  # of these and the next two each image's part
    of_weights, of_biases = torch.empty_like(mean), torch.empty_like(mean)
    turned = x.new_zeros(len(kernel), TAPS)
    turned[:, : 9 * channels] = taps.flatten(0, 2).T
    tensors = (x, gradient, taps, turned, weight, bias, mean, inverse)
    made = (of_taps, of_weights, of_biases, of_x if wants_x else None)
    call(SOURCE, "first_backward", *tensors, *_sizes(x), len(kernel), *made)
    of_kernel = x.new_empty(0) if of_taps is None else of_taps.sum(0).permute(3, 2, 0, 1)
    return of_x, of_kernel, of_weights.sum(0), of_biases.sum(0)


@first_backward.register_fake
def _empty_first_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    kernel: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    inverse: torch.Tensor,
    wants_x: bool,
    wants_kernel: bool,
) -> Four:
    _check_first(x, kernel, weight, bias)
    outputs, channels = kernel.shape[:2]
    _check_found(gradient, mean, inverse, x, outputs)
    of_x = torch.empty_like(x, memory_format=AS_IMAGES) if wants_x else x.new_empty(0)
    of_kernel = x.new_empty(3, 3, channels, outputs).permute(3, 2, 0, 1) if wants_kernel else x.new_empty(0)
    return of_x, of_kernel, torch.empty_like(weight), torch.empty_like(bias)


def _keep_first(ctx: Any, inputs: tuple[Any, ...], output: Three) -> None:
    x, kernel, weight, bias, _ = inputs
    _, mean, inverse = output
    ctx.mark_non_differentiable(mean, inverse)
    ctx.save_for_backward(x, kernel, weight, bias, mean, inverse)


def _first_back(ctx: Any, gradient: torch.Tensor, *_: object) -> tuple[torch.Tensor | None, ...]:
    wants_x, wants_kernel = ctx.needs_input_grad[:2]
    of_x, of_kernel, *affine = first_backward(gradient, *ctx.saved_tensors, wants_x, wants_kernel)
    return of_x if wants_x else None, of_kernel if wants_kernel else None, *affine, None


first_forward.register_autograd(_first_back, setup_context=_keep_first)


def _sizes(x: torch.Tensor) -> tuple[int, int, int, int]:
    """(N, H, W, C), as the C++ takes them."""
    count, channels, height, width = x.shape
    return count, height, width, channels


def _taps(kernel: torch.Tensor) -> torch.Tensor:
    """(O, C, 3, 3) -> (3, 3, C, O)."""
    return kernel.permute(2, 3, 1, 0).contiguous()


def _empty(x: torch.Tensor, channels: int) -> Three:
    """Room for pooled maps (N, channels, H/2, W/2), and means and inverse deviations (N, channels)."""
    count, _, height, width = x.shape
    pooled = x.new_empty(count, height // _POOLED, width // _POOLED, channels).permute(0, 3, 1, 2)
    return pooled, x.new_empty(count, channels), x.new_empty(count, channels)


def _check_affine(weight: torch.Tensor, bias: torch.Tensor, channels: int) -> None:
    check("weight", weight, (channels,))
    check("bias", bias, (channels,))


def _check_first(x: torch.Tensor, kernel: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> None:
    check_maps("x", x, smallest=_POOLED)
    outputs = kernel.shape[0] if kernel.ndim else None
    check("kernel", kernel, (outputs, x.shape[1], 3, 3), None)
    if not first_block_works(x.shape[1], kernel.shape[0]):
        known = f"1 to {TAPS // 9} channels and a multiple of {CHANNELS_TOGETHER} that come out"
        raise ValueError(f"kernel: expected {known}, found shape {tuple(kernel.shape)}")
    _check_affine(weight, bias, kernel.shape[0])


def _check_found(
    gradient: torch.Tensor, mean: torch.Tensor, inverse: torch.Tensor, x: torch.Tensor, channels: int
) -> None:
    """The gradient of what the way forward returned, and what it found, against its input."""
    count, _, height, width = x.shape
    check("gradient", gradient, (count, channels, height // _POOLED, width // _POOLED), None)
    check("mean", mean, (count, channels))
    check("inverse", inverse, (count, channels))
