"""Where distilled datasets lie in a folder or a repository's snapshot, and which one is meant."""

import os
from dataclasses import dataclass
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import CARD, DIRECTORIES, FORMER_DIRECTORIES, PIPELINE, TENSORS
from ncfm_hub.publishing.dataset.names import default_name, is_name, natural_order
from ncfm_hub.publishing.dataset.records import read_pipeline

# Unfinished work is kept in a distilled dataset's folder, under a hidden name, which is never pushed.
WORK_FOLDER = ".ncfm"


@dataclass(frozen=True)
class SetPlace:
    """Where a distilled dataset lies.

    root: folder or snapshot of a repository; the card is there
    name: its directory and configuration; None in the former layout, whose only dataset lies at the root
    """

    root: Path
    name: str | None

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.root / self.name if self.name else self.root

    @property
    def finished(self) -> bool:
        """Whether a run or an import has written everything but the card."""
        return (self.folder / PIPELINE).is_file()


def places_in(root: Path) -> list[SetPlace]:
    """Return the distilled datasets in `root`, finished or not, in the order of their names."""
    if not root.is_dir():
        return []
    former = [SetPlace(root, None)] if _is_former(root) else []
    names = [path.name for path in root.iterdir() if is_name(path.name) and _holds_one(path)]
    return former + [SetPlace(root, name) for name in sorted(names, key=natural_order)]


def finished_in(root: Path) -> list[SetPlace]:
    """Return the finished distilled datasets in `root`."""
    return [place for place in places_in(root) if place.finished]


def find_set(folder: Path, name: str | None = None) -> SetPlace:
    """Return the distilled dataset `name` in `folder`; without a name, `folder` itself or the card's default.

    A folder without any is returned as it is: readers say what it lacks.
    Raises DistilledError if there is none of that name.
    """
    if name is None and _holds_one(folder):
        whole = Path(os.path.abspath(folder))
        apart = not _is_former(folder) and is_name(whole.name)
        return _named(folder, whole) if apart else SetPlace(folder, None)
    found = [place for place in places_in(folder) if place.finished] or places_in(folder)
    if name is not None:
        return _of_name(folder, name, found)
    default = _default_of_card(folder)
    chosen = [place for place in found if place.name == default]
    return (chosen or found or [SetPlace(folder, None)])[0]


def name_of_former(folder: Path) -> str:
    """Return the name that the dataset of a folder in the former layout gets: `ipc<N>`."""
    ipc = read_pipeline(folder).get("ipc")
    if type(ipc) is not int or ipc < 1:
        raise DistilledError(f"{folder / PIPELINE} states the ipc {ipc!r}; expected a positive number")
    return default_name(ipc)


def _named(folder: Path, whole: Path) -> SetPlace:
    return SetPlace(folder.parent, folder.name) if folder.name == whole.name else SetPlace(whole.parent, whole.name)


def _of_name(folder: Path, name: str, found: list[SetPlace]) -> SetPlace:
    for place in found:
        if name == (place.name or (name_of_former(folder) if place.finished else None)):
            return place
    there = ", ".join(place.name or "one of the former layout" for place in found) or "none"
    raise DistilledError(f"{folder} holds no distilled dataset {name!r}; there: {there}")


def _holds_one(folder: Path) -> bool:
    return any((folder / name).exists() for name in (PIPELINE, TENSORS, WORK_FOLDER))


def _is_former(root: Path) -> bool:
    """Return whether a dataset of the former layout lies in `root`; a named one has no directory `default`."""
    former, named = root / FORMER_DIRECTORIES["default"], root / DIRECTORIES["default"]
    return _holds_one(root) and (former.is_dir() or not named.is_dir())


def _default_of_card(root: Path) -> str | None:
    from ncfm_hub.publishing.cards.header import default_of  # of another folder of this room
    from ncfm_hub.publishing.cards.merging import parse_card

    try:
        return default_of(parse_card((root / CARD).read_text(encoding="utf-8", errors="replace")).header)
    except (OSError, DistilledError):
        return None
