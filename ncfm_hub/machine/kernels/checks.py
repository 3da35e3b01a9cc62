"""What the native kernels ask of a tensor before they read its memory."""

import torch

AS_IMAGES = torch.channels_last
AS_GIVEN = torch.contiguous_format


def check(
    name: str, tensor: torch.Tensor, shape: tuple[int | None, ...], memory: torch.memory_format | None = AS_GIVEN
) -> None:
    """Refuse a tensor that a kernel would read wrongly, or beyond its end.

    shape: None for a size that may be any; memory: the order of its values, None where the caller puts them in order
    Raises TypeError for what is no float32 tensor, ValueError for its device, shape or order.
    """
    if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.float32:
        found = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise TypeError(f"{name}: expected a float32 tensor, found {found}")
    if tensor.device.type != "cpu":
        raise ValueError(f"{name}: expected a tensor on the CPU, found one on {tensor.device}")
    sizes = tuple(tensor.shape)
    if len(sizes) != len(shape) or any(
        size is not None and size != found for size, found in zip(shape, sizes, strict=True)
    ):
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: expected shape ({expected}), found {sizes}")
    if memory is not None and not tensor.is_contiguous(memory_format=memory):
        order = "in channels_last memory" if memory == AS_IMAGES else "contiguous"
        raise ValueError(f"{name}: expected a tensor that is {order}, found strides {tensor.stride()}")


def check_maps(
    name: str,
    maps: torch.Tensor,
    channels: int | None = None,
    smallest: int = 1,
    memory: torch.memory_format | None = None,
) -> None:
    """The same of maps (N, C, H, W) with at least one channel and `smallest` pixels along each side."""
    check(name, maps, (None, channels, None, None), memory)
    if maps.shape[1] < 1 or min(maps.shape[2:]) < smallest:
        sides = f"{smallest} x {smallest} pixels"
        raise ValueError(f"{name}: expected at least 1 channel and {sides}, found shape {tuple(maps.shape)}")
