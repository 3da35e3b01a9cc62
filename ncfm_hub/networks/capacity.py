"""How many networks to train, and images to pass through one, at once: as many as a GPU's memory holds."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn

from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.groups import free_memory
from ncfm_hub.networks.stacked import can_be_stacked
from ncfm_hub.utils.progress import Progress

# The rest is for gradients of activations, workspaces of convolutions, the batch itself and its making.
SHARE = 0.5  # of the free memory
INDEXABLE = 2**31 - 1  # values of a tensor; larger ones take slower kernels
COPIES = 4  # of the weights: themselves, their gradients and two moments of the optimiser


@dataclass(frozen=True)
class Footprint:
    """The memory that training one network takes.

    state: bytes of weights, gradients and optimiser
    kept: bytes kept for the backward pass, an image
    largest: values of the largest tensor among them, an image
    """

    state: int
    kept: int
    largest: int


def footprint(network: nn.Module, image: tuple[int, int, int]) -> Footprint:
    """Measure the memory of training in fp32 by a forward pass of two images (c, H, W), on the CPU."""
    network = copy.deepcopy(network).cpu().train()
    own = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.random.fork_rng(devices=[]):
        answer = network(torch.zeros(2, *image))  # batch norm needs two; the answer holds what is kept
    activations = [tensor for place, tensor in kept.items() if place not in own]
    sizes = [tensor.untyped_storage().nbytes() for tensor in activations]
    largest = max(tensor.numel() for tensor in activations)
    return Footprint(
        COPIES * sum(tensor.nbytes for tensor in network.state_dict().values()),
        sum(sizes) // len(answer),
        largest // len(answer),
    )


def networks_at_once(
    network: nn.Module, image: tuple[int, int, int], batch_size: int, jobs: int, engine: Engine, progress: Progress
) -> int:
    """Return how many of `jobs` such networks to train at once; on a CPU one, as several are no faster.

    image: (c, H, W)
    """
    if engine.device.type != "cuda" or jobs < 2:
        return 1
    if not can_be_stacked(network, image):
        progress.note("networks of this architecture cannot be trained at once; one is trained after another")
        return 1
    one = footprint(network, image)
    room = int(SHARE * free_memory(engine.device)) // (one.state + batch_size * one.kept)
    return max(1, min(jobs, room, INDEXABLE // (batch_size * one.largest)))


def images_at_once(one: Footprint, images: int, device: torch.device) -> int:
    """Return how many of `images` to pass through a network at once, in passes as equal as possible.

    one: of the network, with a backward pass; without one a pass takes less
    """
    room = max(1, min(int(SHARE * free_memory(device)) // one.kept, INDEXABLE // one.largest))
    return math.ceil(images / math.ceil(images / room))
