"""Folders that a command fills: new or empty ones, so that nothing the user made is overwritten."""

from pathlib import Path

from ncfm_hub.errors import DistilledError


def new_folder(folder: Path) -> Path:
    """Make `folder` if need be. Raises DistilledError where it is a file or holds anything."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise DistilledError(f"{str(folder)!r} {what}; name another folder by --output")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
