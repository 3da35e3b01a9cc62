"""ConvNets by name, and the grid of 720 ConvNets used for architecture search in the dataset-distillation literature.

A name is `convnet-d3-w128-instance-relu-avg`: depth, width, norm, activation, pooling. Source of the grid: Zhao et al.,
"Dataset Condensation with Gradient Matching", ICLR 2021.
"""

import itertools
import re
from typing import Any

from ncfm_hub.errors import PoolError
from ncfm_hub.networks.convnet import ACTIVATIONS, NORMS, POOLINGS

DEPTHS = (1, 2, 3, 4)
WIDTHS = (32, 64, 128, 256)
_FORM = re.compile(
    rf"convnet-d([1-9]\d?)-w([1-9]\d{{0,3}})-({'|'.join(NORMS)})-({'|'.join(ACTIVATIONS)})-({'|'.join(POOLINGS)})"
)


def convnet_grid() -> list[str]:
    """Return the names of all 720 ConvNets in a fixed order."""
    return [convnet_name(*form) for form in itertools.product(DEPTHS, WIDTHS, NORMS, ACTIVATIONS, POOLINGS)]


def convnet_name(depth: int, width: int, norm: str, activation: str, pooling: str) -> str:
    """Format a name; the inverse of `convnet_options`."""
    return f"convnet-d{depth}-w{width}-{norm}-{activation}-{pooling}"


def convnet_options(name: str) -> dict[str, Any] | None:
    """Parse a name into arguments of ConvNet, inside the grid or beyond; None for names of another form.

    Raises PoolError for a malformed ConvNet name.
    """
    if not name.startswith("convnet-"):
        return None
    found = _FORM.fullmatch(name)
    if found is None:
        raise PoolError(
            f"{name!r} names no ConvNet; the form is convnet-d3-w128-instance-relu-avg: depth, width, norm "
            f"({', '.join(NORMS)}), activation ({', '.join(ACTIVATIONS)}), pooling ({', '.join(POOLINGS)})"
        )
    depth, width, norm, activation, pooling = found.groups()
    return {
        "depth": int(depth),
        "width": int(width),
        "norm": norm,
        "activation": activation,
        "pooling": pooling,
    }
