"""What a cell of an image column holds: an encoded image, or the path of one, in a folder or inside a .zip file."""

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
    """Reads cells, from several threads; paths only inside `roots`, as a file from elsewhere could name any other."""

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
        """The bytes of a stored image, or the file that holds them. Undecodable if it is missing or elsewhere."""
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
        # `datasets` names what lies in an archive so: zip://train/cat/1.png::/folder/train.zip
        member, _, container = path.removeprefix(_ZIP).partition("::")
        return self._member(self._inside(container), member)

    def _inside(self, path: str) -> Path:
        full = Path(os.path.normpath(path))
        if not full.is_absolute() or not any(full.is_relative_to(root) for root in self._roots):
            raise Undecodable("it is only a path, outside the dataset")
        return full

    def _member(self, container: Path, name: str) -> bytes:
        try:
            with self._lock:  # an archive has one place in its file at a time
                return self._archive(container).read(name)
        except KeyError as error:
            raise Undecodable(f"{container.name} has no file {name!r}") from error
        except Exception as error:  # every kind of compression has errors of its own
            raise Undecodable(f"{container.name} cannot be read: {str(error) or type(error).__name__}") from error

    def _archive(self, container: Path) -> zipfile.ZipFile:
        """Kept open, as opening reads the list of all that an archive holds."""
        if container not in self._archives:
            if len(self._archives) >= _OPEN_AT_ONCE:
                self._archives.pop(next(iter(self._archives))).close()
            self._archives[container] = zipfile.ZipFile(container)
        return self._archives[container]
