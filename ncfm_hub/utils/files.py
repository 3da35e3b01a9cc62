"""Atomic file writes: under a temporary name, flushed, then renamed."""

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on any error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp creates 0600; users expect the default mode
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically, in the given order."""
    write_text(path, _as_json(value))


def write_study(folder: Path, names: Sequence[str], found: Any) -> Path | None:
    """Write a study's JSON under the first of `names`; an earlier study with different content is kept.

    names: all files of the study, which the caller writes; those of an earlier study are renamed together, `nas.json`
        to `nas-1.json` or the next free number
    Returns the new name of the earlier JSON, None if there was none.
    """
    first = folder / names[0]
    text = _as_json(found)
    if not first.is_file() or first.read_text(encoding="utf-8") == text:
        write_text(first, text)
        return None

    def numbered(name: str, number: int) -> Path:
        return folder / f"{Path(name).stem}-{number}{Path(name).suffix}"

    number = next(n for n in itertools.count(1) if not any(numbered(name, n).exists() for name in names))
    for name in names:
        if (folder / name).exists():
            os.rename(folder / name, numbered(name, number))
    write_text(first, text)
    return numbered(names[0], number)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cache_root() -> Path:
    """Return the cache folder: `NCFM_HUB_CACHE`, else `~/.cache/ncfm_hub`."""
    # Not `huggingface_hub.cached_assets_path`: it creates the folder, also for a dry run, and would, like platformdirs
    # on macOS, lose existing caches.
    named = os.environ.get("NCFM_HUB_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "ncfm_hub"


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
