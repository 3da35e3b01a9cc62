"""Describe this installation for `ncfm-hub env` and bug reports, without tokens."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ncfm_hub._version import __version__
from ncfm_hub.utils.files import cache_root

if TYPE_CHECKING:
    from ncfm_hub.machine.engine import Engine

PACKAGES = ("torch", "torchvision", "timm", "datasets", "huggingface_hub", "accelerate", "safetensors", "numpy")


def environment_facts() -> dict[str, str]:
    """Return versions, device, settings and folders as text, in display order."""
    import torch
    from huggingface_hub import constants, get_token

    from ncfm_hub.machine.engine import open_engine

    engine = open_engine(build=False)
    machine = engine.describe()
    cache = cache_root()
    return {
        "ncfm-hub": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        **{name: _version(name) for name in PACKAGES},
        "device": f"{machine['device']} ({machine['description']})",
        "threads": str(torch.get_num_threads()),
        "precision": f"{machine['precision']} (what `auto` chooses here)",
        "compiler": _compiler(engine),
        "endpoint": constants.ENDPOINT,
        "offline": _words(constants.HF_HUB_OFFLINE),
        "token set": _words(get_token() is not None),
        "own defaults": os.environ.get("NCFM_HUB_CONFIG") or "none (NCFM_HUB_CONFIG)",
        "cache": f"{cache} ({folder_size(cache) / 1e6:,.1f} MB)",
    }


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below `folder`, without following links; 0 if it is missing."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _compiler(engine: "Engine") -> str:
    from ncfm_hub.machine.native import cpp_compiler

    found = cpp_compiler() or ("triton's own" if engine.compiled else None)
    if not found:
        return "none found: networks run uncompiled"
    if engine.compiled:
        return found
    return f"{found}, without the headers of Python: {'only ConvNets' if engine.native else 'no networks'} run compiled"


def _words(flag: bool) -> str:
    return "yes" if flag else "no"
