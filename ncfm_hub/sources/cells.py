"""Cells of an image column: an encoded image, or the path of one in a folder or a .zip archive."""

import os
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from ncfm_hub.sources.decode import Undecodable

_ZIP = "zip://"
_OPEN_AT_ONCE = 16


class Cells:
    """Read cells, safely from several threads; paths must lie inside `roots`, since a dataset could name any file."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._archives.values():
            archive.close()

    def encoded(self, cell: Any) -> bytes | Path:
        """Return the bytes of an image, or the file that contains them.

        Raises Undecodable if it is missing or outside `roots`.
        """
        if isinstance(cell, dict):
            data, path = cell.get("bytes"), cell.get("path")
        else:
            data, path = cell, None
        if data is not None:
            return bytes(data)
        if path is None:
            raise Undecodable("it is missing")
        if not path.startswith(_ZIP):
            return self._inside(path)
        # `datasets` writes a member of an archive as zip://train/cat/1.png::/folder/train.zip
        member, _, container = path.removeprefix(_ZIP).partition("::")
        return self._member(self._inside(container), member)

    def _inside(self, path: str) -> Path:
        full = Path(os.path.normpath(path))
        if not full.is_absolute() or not any(full.is_relative_to(root) for root in self._roots):
            raise Undecodable("it is a path to a file outside the dataset")
        return full

    def _member(self, container: Path, name: str) -> bytes:
        try:
            with self._lock:  # a ZipFile shares one file position
                return self._archive(container).read(name)
        except KeyError as error:
            raise Undecodable(f"{container.name} has no file {name!r}") from error
        except Exception as error:  # each compression method raises its own errors
            raise Undecodable(f"{container.name} cannot be read: {str(error) or type(error).__name__}") from error

    def _archive(self, container: Path) -> zipfile.ZipFile:
        """Return an archive, kept open because opening it reads its whole index."""
        if container not in self._archives:
            if len(self._archives) >= _OPEN_AT_ONCE:
                self._archives.pop(next(iter(self._archives))).close()
            self._archives[container] = zipfile.ZipFile(container)
        return self._archives[container]
