"""Whether the native kernels can run on this machine."""

from ncfm_hub.machine.kernels import blocks, winograd
from ncfm_hub.machine.native import is_built, native_library


def native_works() -> bool:
    """Whether the kernels are there or can be built now."""
    return None not in (native_library(blocks.SOURCE), native_library(winograd.SOURCE))


def native_built() -> bool:
    """Return whether the kernels have been built here before."""
    return is_built(blocks.SOURCE) and is_built(winograd.SOURCE)
