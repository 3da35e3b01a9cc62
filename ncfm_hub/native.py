"""C++ of our own, built for this machine when it is first used and kept in the cache."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import torch

from ncfm_hub.cpu import cpu_features
from ncfm_hub.files import cache_root

FLAGS = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]


def cpp_compiler() -> str | None:
    """The C++ compiler: what `CXX` names, else the first of g++, clang++ and c++ that is there."""
    named = os.environ.get("CXX")
    return next(
        (path for name in ([named] if named else ["g++", "clang++", "c++"]) if (path := shutil.which(name))), None
    )


@lru_cache
def native_library(source: Path) -> ctypes.CDLL | None:
    """A file of C++ as a library; None if it cannot be had here: no compiler, one without OpenMP, or no place for it.

    It is code: a folder that others could write to is not used.
    """
    compiler = cpp_compiler()
    if compiler is None:
        return None
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    # A cache can be shared by machines that differ in what a library may use.
    machine = [platform.machine(), platform.processor(), *sorted(cpu_features())]
    made_of = "\n".join([source.read_text(encoding="utf-8"), *FLAGS, version, *machine])
    library = cache_root() / "native" / f"{source.stem}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.so"
    try:
        library.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(library.parent):
            return None
        if library.is_file():
            with suppress(OSError):  # a damaged one is made again
                return ctypes.CDLL(str(library))
        return ctypes.CDLL(str(library)) if _build(compiler, source, library) else None
    except OSError:
        return None


def call(library: ctypes.CDLL | None, function: str, *arguments: torch.Tensor | int | float | None) -> None:
    """Call a function of a library: tensors as their addresses (None: null), whole numbers as long, others as double.

    Tensors are contiguous in the order the function wants; no check is made here.
    """
    getattr(library, function)(*(_as_c(argument) for argument in arguments))


def _as_c(value: torch.Tensor | int | float | None) -> object:
    if isinstance(value, int):
        return ctypes.c_long(value)
    if isinstance(value, float):
        return ctypes.c_double(value)
    return ctypes.c_void_p(None if value is None else value.data_ptr())


def _build(compiler: str, source: Path, library: Path) -> bool:
    """Under a name of its own and renamed, so that two processes may do it at once."""
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        made = Path(scratch) / library.name
        built = subprocess.run([compiler, *FLAGS, str(source), "-o", str(made)], capture_output=True, check=False)
        if built.returncode == 0:
            made.replace(library)
        return built.returncode == 0


def _is_own(folder: Path) -> bool:
    """Whether the folder is this user's and only this user may write to it."""
    if os.name != "posix":
        return True
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022
