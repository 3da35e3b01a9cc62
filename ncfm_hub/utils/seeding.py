"""Random draws keyed by what they are for, never by the order in which they are made.

A generator is made from (seed, purpose, and further keys such as step and class), so that a resumed run, another number
of processes, or another order of classes draws the same values.
"""

import hashlib

import torch


def generator(seed: int, purpose: str, *keys: int) -> torch.Generator:
    """A CPU generator for one purpose.

    seed: the run's seed (0 is a seed like any other); keys: for example step and class.
    """
    text = "/".join([str(int(seed)), purpose, *(str(int(key)) for key in keys)])
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
