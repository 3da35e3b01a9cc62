"""Output folders: check that they are writable, hold no user files and belong to the same dataset."""

import os
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import PIPELINE, TENSORS
from ncfm_hub.utils.named import Named


def new_folder(folder: Path) -> Path:
    """Create `folder` if necessary. Raises DistilledError if it is a file or not empty."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise DistilledError(f"{str(folder)!r} {what}; name another folder by --output")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_output(folder: Path) -> None:
    """Raise DistilledError if a study could not be written to `folder`; the folder is created only with the study."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written to" if there.is_dir() else "is no folder"
        raise DistilledError(f"nothing can be written to {str(folder)!r}: {there} {what}; name another by --output")


def check_study_output(folder: Path, target: Named, *, revision: str | None, token: str | None) -> None:
    """Raise DistilledError if a study of `target` cannot be written to `folder`, or the folder holds another dataset.

    target: folder or Hub repository
    """
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
