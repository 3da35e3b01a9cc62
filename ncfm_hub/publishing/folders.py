"""Folders that a command fills: that they can be written to, and that nothing the user made is overwritten there."""

import os
from pathlib import Path

from ncfm_hub.errors import DistilledError


def new_folder(folder: Path) -> Path:
    """Make `folder` if need be. Raises DistilledError where it is a file or holds anything."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise DistilledError(f"{str(folder)!r} {what}; name another folder by --output")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_output(folder: Path) -> None:
    """Raise DistilledError where a study could not be written to `folder`, which is made only once there is one."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written to" if there.is_dir() else "is no folder"
        raise DistilledError(f"nothing can be written to {str(folder)!r}: {there} {what}; name another by --output")
