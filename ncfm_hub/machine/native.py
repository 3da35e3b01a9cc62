"""C++ of our own, built for this machine when it is first used and kept in the cache."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import torch

from ncfm_hub.errors import NativeError
from ncfm_hub.machine.cpu import cpu_features
from ncfm_hub.utils.files import cache_root, sha256_file

FLAGS = ["-O3", "-march=native", "-shared", "-fPIC"]
THREADS = "-fopenmp"  # which the compiler of macOS does not know: there the library runs in one thread
_DIGITS = 16  # of a digest, in a name


def cpp_compiler() -> str | None:
    """The C++ compiler: what `CXX` names, else the first of g++, clang++ and c++ that is there."""
    named = os.environ.get("CXX")
    return next(
        (path for name in ([named] if named else ["g++", "clang++", "c++"]) if (path := shutil.which(name))), None
    )


@lru_cache
def native_library(source: Path) -> ctypes.CDLL | None:
    """A file of C++ as a library; None if it cannot be had here: no compiler, one that fails, or no place for it.

    It is code: a folder that others could write to is not used. Its name ends with its digest, and one that is damaged
    is made again.
    """
    compiler = cpp_compiler()
    if compiler is None:
        return None
    stem = _stem(compiler, source)
    try:
        stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(stem.parent):
            return None
        for library in _there(stem):
            if _is_sound(library):
                return ctypes.CDLL(str(library))
            library.unlink(missing_ok=True)
        built = _build(compiler, source, stem)
        return ctypes.CDLL(str(built)) if built else None
    except OSError:
        return None


def is_built(source: Path) -> bool:
    """Return whether `native_library` would find the library in the cache, rather than build it."""
    compiler = cpp_compiler()
    if compiler is None or not any(
        _folder().glob(f"{source.stem}-*.so")
    ):  # the compiler is asked only where it matters
        return False
    stem = _stem(compiler, source)
    try:
        return _is_own(stem.parent) and any(_is_sound(library) for library in _there(stem))
    except OSError:
        return False


def _stem(compiler: str, source: Path) -> Path:
    """Return the path of a library in the cache, up to the digest of what was built."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    # A cache can be shared by machines that differ in what a library may use.
    machine = [platform.machine(), platform.processor(), *sorted(cpu_features())]
    texts = [path.read_text(encoding="utf-8") for path in (source, *sorted(source.parent.glob("*.h")))]
    made_of = "\n".join([*texts, *FLAGS, THREADS, version, *machine])
    return _folder() / f"{source.stem}-{hashlib.sha256(made_of.encode()).hexdigest()[:_DIGITS]}"


def _there(stem: Path) -> list[Path]:
    return sorted(stem.parent.glob(f"{stem.name}-*.so"))


def damaged_libraries() -> list[Path]:
    """Libraries in the cache that are not as they were built, which are going to be built again."""
    return [library for library in sorted(_folder().glob("*-*-*.so")) if not _is_sound(library)]


def _folder() -> Path:
    return cache_root() / "native"


def _is_sound(library: Path) -> bool:
    return library.stem.rpartition("-")[2] == sha256_file(library)[:_DIGITS]


def call(source: Path, function: str, *arguments: torch.Tensor | int | float | None) -> None:
    """Call a function of a library: tensors as their addresses (None: null), whole numbers as long, others as double.

    The caller has checked what the function reads and writes (`ncfm_hub.machine.kernels.checks`). Raises NativeError
    if the library cannot be had here.
    """
    library = native_library(source)
    if library is None:
        raise NativeError(f"{source.name} cannot be built here; install g++ or clang++, or name a C++ compiler by CXX")
    getattr(library, function)(*(_as_c(argument) for argument in arguments))


def _as_c(value: torch.Tensor | int | float | None) -> object:
    if isinstance(value, int):
        return ctypes.c_long(value)
    if isinstance(value, float):
        return ctypes.c_double(value)
    return ctypes.c_void_p(None if value is None else value.data_ptr())


def _build(compiler: str, source: Path, stem: Path) -> Path | None:
    """Under a name of its own and renamed, so that two processes may do it at once."""
    with tempfile.TemporaryDirectory(dir=stem.parent) as scratch:
        made = Path(scratch) / "library.so"
        for flags in ([*FLAGS, THREADS], FLAGS):
            command = [compiler, *flags, str(source), "-o", str(made)]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                break
        else:
            return None
        return made.replace(stem.with_name(f"{stem.name}-{sha256_file(made)[:_DIGITS]}.so"))


def _is_own(folder: Path) -> bool:
    """Whether the folder is this user's and only this user may write to it."""
    if os.name != "posix":
        return True
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022
