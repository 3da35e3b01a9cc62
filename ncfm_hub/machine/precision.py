"""Which number formats a device computes in: bf16, fp16, TF32 or plain fp32.

"fp32" is exact everywhere. Anything less is for the real side of a step and the training of networks; the synthetic
side and all statistics stay in fp32, on a GPU with products in TF32 unless fp32 was asked for.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from ncfm_hub.machine.cpu import cpu_features
from ncfm_hub.utils.progress import Progress

VOLTA = (7, 0)  # the first GPUs whose fp16 is faster than fp32
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(asked: str, device: torch.device, progress: Progress) -> str:
    """Return "bf16", "fp16" or "fp32" for "auto", "fp32" or "bf16".

    A GPU without bf16 of its own (T4, V100, RTX 20) computes the real side in fp16: features are normalised, and no
    gradient passes through it. What was asked for and cannot be had is noted, and done without.
    """
    if asked == "fp32":
        return "fp32"
    if has_bf16(device):
        return "bf16" if asked == "bf16" or _bf16_pays(device) else "fp32"
    instead = "fp16" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= VOLTA else "fp32"
    if asked == "bf16":
        progress.note(f"no bf16 on this machine; computing in {instead}")
    return instead


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which networks run in this precision."""
    return torch.autocast(device.type, dtype=HALF.get(precision, torch.bfloat16), enabled=precision in HALF)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let fp32 products and convolutions on a GPU round their inputs to TF32, inside the block."""
    switches: tuple[Any, Any] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = allowed
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.allow_tf32 = was


def has_bf16(device: torch.device) -> bool:
    """Return whether the device computes in bf16 itself, rather than by emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return torch.backends.cpu.get_cpu_capability() == "AVX512" or "bf16" in cpu_features()


def _bf16_pays(device: torch.device) -> bool:
    """On CPUs only tile units (AMX) make bf16 faster; with AVX-512 alone convolutions take 1.7x as long as in fp32."""
    return device.type != "cpu" or "amx_tile" in cpu_features()
