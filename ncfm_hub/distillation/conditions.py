"""What the bits of a step depend on besides its settings: kept in checkpoints, and part of a bank's key."""

from typing import Any

import timm
import torch

from ncfm_hub._version import __version__
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.machine.engine import Engine
from ncfm_hub.sources.types import Source

# Version of the draws: raise it whenever a step of the same settings and seed draws something else.
DRAWS = 2


def conditions_of(source: Source, pool: Pool, engine: Engine) -> dict[str, Any]:
    """Return what the bits of a step depend on besides its settings."""
    return {
        "draws": DRAWS,
        "source": source.fingerprint,
        "pool": pool.key,
        "versions": {"ncfm_hub": __version__, "torch": torch.__version__, "timm": timm.__version__},
        "device": engine.device.type,
        "precision": engine.precision,
        "compile": engine.compiled,
        "native": engine.native,
        "threads": torch.get_num_threads(),
    }
