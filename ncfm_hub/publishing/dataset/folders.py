"""Folders that a command fills: that they can be written to, that nothing the user made is overwritten there, and that
what is written is of the set that lies there."""

import os
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import PIPELINE, TENSORS
from ncfm_hub.utils.named import Named


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


def check_study_output(folder: Path, target: Named, *, revision: str | None, token: str | None) -> None:
    """Raise DistilledError where a study of the set `target`, a folder or a Hub repository, could not be written to
    `folder`, or would lie there beside another set."""
    check_output(folder)
    if not _holds_set(folder) or folder.resolve() == Path(target).expanduser().resolve():
        return
    from ncfm_hub.publishing.dataset.loading import load_distilled, locate

    measured = locate(target, revision=revision, token=token)
    if not _holds_set(measured) or load_distilled(measured).digest != load_distilled(folder).digest:
        raise DistilledError(
            f"{str(folder)!r} holds another distilled dataset than {target}, and a study lies beside its own; name "
            "another folder by --output"
        )


def _holds_set(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (PIPELINE, TENSORS))
