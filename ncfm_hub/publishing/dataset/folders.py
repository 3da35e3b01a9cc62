"""Output folders: check that they are writable, hold no user files and belong to the same dataset."""

import os
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import TENSORS
from ncfm_hub.publishing.dataset.place import SetPlace, find_set, finished_in, places_in
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.utils.named import Named


def new_folder(folder: Path) -> Path:
    """Create `folder` if necessary. Raises DistilledError if it is a file or not empty."""
    check_new(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_new(folder: Path) -> None:
    """Raise DistilledError if `folder` is a file or not empty."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise DistilledError(f"{str(folder)!r} {what}; name another folder by --output")


def check_output(folder: Path) -> None:
    """Raise DistilledError if a study could not be written to `folder`; the folder is created only with the study."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written to" if there.is_dir() else "is no folder"
        raise DistilledError(f"nothing can be written to {str(folder)!r}: {there} {what}; name another by --output")


def study_folder(folder: Path, target: Named, *, revision: str | None, token: str | None) -> Path:
    """Return where a study of `target` is written for --output `folder`: beside the images if it holds them.

    target: folder or Hub repository
    Raises DistilledError if nothing can be written there, or it holds other distilled datasets.
    """
    check_output(folder)
    held = finished_in(folder) or places_in(folder) or [place for place in [find_set(folder)] if place.finished]
    if not held:
        return folder
    from ncfm_hub.publishing.dataset.loading import find

    measured = find(target, revision=revision, token=token)
    beside = next((place for place in held if _is_same(measured, place)), None)
    if beside is None:
        raise DistilledError(
            f"{str(folder)!r} holds another distilled dataset than {target}, and a study lies beside its own; name "
            "another folder by --output"
        )
    return beside.folder


def check_root(root: Path) -> None:
    """Raise DistilledError if `root` holds anything, but no distilled dataset."""
    if root.exists() and not root.is_dir():
        raise DistilledError(f"{str(root)!r} is a file; name another folder by --output")
    if any(map(_has_content, root.iterdir() if root.is_dir() else ())) and not places_in(root):
        raise DistilledError(
            f"folder {str(root)!r} is not empty, and holds no distilled dataset; name another with --output"
        )


def _has_content(path: Path) -> bool:
    """Return whether `path` is more than an empty folder, which another run may have made just now."""
    return not path.is_dir() or any(path.iterdir())


def check_beside(place: SetPlace, source: str) -> None:
    """Raise DistilledError if the distilled datasets that `place` would lie beside are of another source.

    source: its public name
    """
    for other in finished_in(place.root):
        of = read_pipeline(other.folder).get("source")
        named = of.get("dataset") if isinstance(of, dict) else None
        if other.name != place.name and named is not None and named != source:
            raise DistilledError(
                f"{str(place.root)!r} holds a distilled dataset of {named}, and this one is of {source}; distilled "
                "datasets in one folder share a source: name another by --output"
            )


def _is_same(one: SetPlace, other: SetPlace) -> bool:
    from ncfm_hub.publishing.dataset.reading import read_data

    if one.folder.resolve() == other.folder.resolve():
        return True
    return (one.folder / TENSORS).is_file() and read_data(one.folder).digest == read_data(other.folder).digest
