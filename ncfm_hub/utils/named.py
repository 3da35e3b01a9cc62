"""Names that callers pass: a dataset, folder or file, as text or as a Path."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import overload

Named = str | os.PathLike[str]
NONE = "none"  # in place of a name, where None means that none was given


@overload
def text_of(name: Named) -> str: ...
@overload
def text_of(name: Named | None) -> str | None: ...
def text_of(name: Named | None) -> str | None:
    """Return `name` as text. A Path is always local, never a pipeline or a repository of the same name."""
    if name is None or isinstance(name, str):
        return name
    text = os.fspath(name)
    return text if text.startswith((".", "~")) or os.path.isabs(text) else os.path.join(".", text)


def texts_of(names: Named | Iterable[Named]) -> list[str]:
    """Return one or several names as texts."""
    return [text_of(name) for name in ([names] if isinstance(names, str | os.PathLike) else names)]


@overload
def path_of(name: Named) -> Path: ...
@overload
def path_of(name: Named | None) -> Path | None: ...
def path_of(name: Named | None) -> Path | None:
    """Return `name` as a local path, with `~` expanded."""
    return None if name is None else Path(name).expanduser()
