"""Random generators keyed by purpose, not by order of use.

A generator is derived from (seed, purpose, and further keys such as step and class). A resumed run, another number of
processes or another order of classes therefore samples the same values.
"""

import hashlib

import torch


def generator(seed: int, purpose: str, *keys: int) -> torch.Generator:
    """Return a CPU generator for one purpose.

    seed: the run's seed
    keys: for example step and class
    """
    text = "/".join([str(int(seed)), purpose, *(str(int(key)) for key in keys)])
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def on_device(draws: torch.Generator, device: torch.device) -> torch.Generator:
    """Return the generator itself on the CPU; elsewhere one of the device's own kind, seeded by its next draw.

    The device's numbers differ from the CPU's; large arrays would take longer to copy than to use.
    """
    if device.type == "cpu":
        return draws
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=draws)))
