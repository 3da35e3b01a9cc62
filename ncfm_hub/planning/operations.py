"""Operations of a network, and how many a second this machine does: for many architectures at once, not one by one."""

import time
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from ncfm_hub.networks.build import Architecture, build_network

# Speed of a whole network relative to a large convolution, forward and in training (ConvNet-3, 2 cores).
NETWORK_EFFICIENCY = 0.6
# A backward pass costs about two forward passes.
TRAINING = 3


def forward_operations(architecture: Architecture) -> float:
    """Count the floating-point operations of one image's forward pass."""
    with torch.device("meta"):
        network = build_network(architecture).eval()
        x = torch.zeros(1, architecture.channels, architecture.resolution, architecture.resolution)
    with FlopCounterMode(display=False) as counter:
        network(x)
    return float(counter.get_total_flops())


@lru_cache
def machine_speed(device: torch.device) -> float:
    """Measure the operations per second of a 3 x 3 convolution with 128 channels, for a few tenths of a second."""
    x = torch.randn(32, 128, 16, 16, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    operations = 2 * x.numel() * 128 * 9

    def convolve() -> None:
        F.conv2d(x, weight, padding=1)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with torch.no_grad():
        convolve()
        fastest = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            convolve()
            fastest = min(fastest, time.perf_counter() - began)
    return operations / fastest
