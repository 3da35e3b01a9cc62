"""Whether the native kernels can run on this machine."""

from ncfm_hub.machine.kernels import blocks, characteristic, winograd
from ncfm_hub.machine.native import is_built, native_library

_SOURCES = (blocks.SOURCE, characteristic.SOURCE, winograd.SOURCE)


def native_works() -> bool:
    """Whether the kernels are there or can be built now."""
    return None not in [native_library(source) for source in _SOURCES]


def native_built() -> bool:
    """Return whether the kernels have been built here before."""
    return all(is_built(source) for source in _SOURCES)
