"""The output folder of a run: which may be used or resumed, and how earlier work is set aside."""

import itertools
import os
from pathlib import Path

from ncfm_hub.errors import DistilledError, ReplaceNeeded
from ncfm_hub.publishing.dataset.conversion import convert
from ncfm_hub.publishing.dataset.folders import check_new, check_root
from ncfm_hub.publishing.dataset.place import WORK_FOLDER as WORK_FOLDER
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.utils.progress import Progress

_COPYING = ".ncfm-copying"  # marks an unfinished copy of a pool


def claim(place: SetPlace, resume: bool, restart: bool, progress: Progress, *, replace: bool = False) -> None:
    """Prepare the folder of a run's distilled dataset: a new one, or with `resume` that of a run that was started.

    A folder of the former layout is converted. Other distilled datasets in `place.root` stay as they are.
    restart: set an earlier run's folder aside, and use an empty one in its place
    replace: the same if that run is finished
    Raises DistilledError for any other folder: files of the user are never overwritten. ReplaceNeeded if a finished
    dataset of that name is there.
    """
    if resume and restart:
        raise DistilledError("a run is resumed or restarted, not both")
    check_root(place.root)
    convert(place.root, progress, place.name)
    folder = place.folder
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / WORK_FOLDER).is_dir() and (resume or not place.finished):
            raise DistilledError(
                f"folder {str(folder)!r} is not empty, and holds no unfinished run; name another with --output"
            )
        if restart or (replace and place.finished and not resume):
            progress.note(f"what was in {str(folder)!r} is in {str(_set_aside(place))!r} now")
        elif not resume and place.finished:
            raise ReplaceNeeded(
                f"{str(place.root)!r} holds {place.name} already; name this one otherwise by --name, name another "
                "folder by --output, or set that one aside by --replace"
            )
        elif not resume:
            raise DistilledError(
                f"folder {str(folder)!r} is not empty; resume its run with --resume, rename it and start over with "
                "--restart, or name another with --output"
            )
    (folder / WORK_FOLDER).mkdir(parents=True, exist_ok=True)


def claim_for_copy(folder: Path) -> None:
    """Prepare an empty folder for a copy; calling it again continues an interrupted copy, see `copied`."""
    check_for_copy(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _COPYING).touch()


def check_for_copy(folder: Path) -> None:
    """Raise DistilledError if `folder` holds anything but an interrupted copy."""
    if not (folder / _COPYING).exists():
        check_new(folder)


def copied(folder: Path) -> None:
    """Mark a copy as complete: from now on nothing in the folder is overwritten."""
    (folder / _COPYING).unlink()


def _set_aside(place: SetPlace) -> Path:
    """Rename a dataset's folder to `ROOT-NAME-1` beside its root, or the next free number; returns the new path."""
    whole, root = place.folder.resolve(), place.root.resolve()
    stem = f"{root.name}-{place.name}"
    aside = next(path for n in itertools.count(1) if not os.path.lexists(path := root.with_name(f"{stem}-{n}")))
    try:
        if Path.cwd().is_relative_to(whole):
            raise OSError("the current folder lies in it")
        whole.rename(aside)
    except OSError as error:
        reason = error.strerror or error
        raise DistilledError(
            f"{str(place.folder)!r} cannot be set aside ({reason}); name another by --output"
        ) from None
    return place.root.with_name(aside.name) if place.root.name == root.name else aside
