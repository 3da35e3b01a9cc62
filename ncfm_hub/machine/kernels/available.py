"""Whether the native kernels can run on this machine."""

from ncfm_hub.machine.kernels import blocks, winograd
from ncfm_hub.machine.native import native_library


def native_works() -> bool:
    """Whether the kernels are there or can be built now."""
    return None not in (native_library(blocks.SOURCE), native_library(winograd.SOURCE))
