"""The output folder of a run: which folders may be used or resumed, and how unfinished work is set aside."""

import itertools
import os
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.folders import new_folder
from ncfm_hub.utils.progress import Progress

# Unfinished work is kept in the output folder, under a hidden name, which is never pushed.
WORK_FOLDER = ".ncfm"
_COPYING = ".ncfm-copying"  # marks an unfinished copy of a pool


def claim(folder: Path, resume: bool, restart: bool, progress: Progress) -> None:
    """Prepare the output folder of a run: an empty folder, or with `resume` the folder of a run that was started.

    restart: rename the folder of a started run and use an empty one in its place
    Raises DistilledError for any other folder: files of the user are never overwritten.
    """
    if resume and restart:
        raise DistilledError("a run is resumed or restarted, not both")
    if folder.is_dir() and any(folder.iterdir()):
        what = f"folder {str(folder)!r} is not empty"
        if not (folder / WORK_FOLDER).is_dir():
            raise DistilledError(f"{what}, and holds no unfinished run; name another with --output")
        if restart:
            progress.note(f"what was in {str(folder)!r} is in {str(_set_aside(folder))!r} now")
        elif not resume:
            raise DistilledError(
                f"{what}; resume its run with --resume, rename it and start over with --restart, or name another with "
                "--output"
            )
    (folder / WORK_FOLDER).mkdir(parents=True, exist_ok=True)


def claim_for_copy(folder: Path) -> None:
    """Prepare an empty folder for a copy; calling it again continues an interrupted copy, see `copied`."""
    if not (folder / _COPYING).exists():
        new_folder(folder)
        (folder / _COPYING).touch()


def copied(folder: Path) -> None:
    """Mark a copy as complete: from now on nothing in the folder is overwritten."""
    (folder / _COPYING).unlink()


def _set_aside(folder: Path) -> Path:
    """Rename a folder to `NAME-1` or the next free number; returns the new path."""
    whole = folder.resolve()
    aside = next(path for n in itertools.count(1) if not os.path.lexists(path := whole.with_name(f"{whole.name}-{n}")))
    try:
        if Path.cwd().is_relative_to(whole):
            raise OSError("the current folder lies in it")
        whole.rename(aside)
    except OSError as error:
        reason = error.strerror or error
        raise DistilledError(f"{str(folder)!r} cannot be set aside ({reason}); name another by --output") from None
    return folder.with_name(aside.name)
