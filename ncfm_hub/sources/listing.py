"""List the images of a folder or repository, including those in .zip archives, without decoding."""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.decode import decodable_suffixes
from ncfm_hub.sources.words import split_word

METADATA_NAMES = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})
# Formats that cannot be decoded on every machine are listed too, so that they are reported, not silently dropped.
_OTHER_IMAGES = frozenset({".avif", ".heic", ".heif", ".psd", ".eps"})
_ARCHIVE = ".zip"


@dataclass(frozen=True)
class Listed:
    """An image or a metadata file.

    place: logical path. The content of an archive counts as being in the archive's folder; an archive named like a
        split ("train.zip") counts as a folder of that name
    file: path in the dataset of the file that contains it
    member: its name inside that archive; None if it is the file itself
    """

    place: PurePosixPath
    file: str
    member: str | None = None

    @property
    def name(self) -> str:
        """Name that helps a user find it."""
        return self.file if self.member is None else f"{self.file}/{self.member}"


def list_images(files: Sequence[str], names_in: Callable[[str], list[str]]) -> tuple[list[Listed], list[Listed]]:
    """Return (images, metadata files) in the order of `files`.

    names_in: returns the names of all files in an archive
    """
    images, metadata = [], []
    for listed in _all(files, names_in):
        if any(part.startswith((".", "__")) for part in listed.place.parts):  # hidden, or made by a program (__MACOSX)
            continue
        if listed.place.name in METADATA_NAMES:
            metadata.append(listed)
        elif listed.place.suffix.lower() in _image_suffixes():
            images.append(listed)
    return images, metadata


def holds_images(files: Sequence[str]) -> bool:
    """Return whether there is an image, or an archive that may contain one."""
    wanted = _image_suffixes() | {_ARCHIVE}
    return any(PurePosixPath(file).suffix.lower() in wanted for file in files)


@cache
def _image_suffixes() -> frozenset[str]:
    return decodable_suffixes() | _OTHER_IMAGES


def _all(files: Sequence[str], names_in: Callable[[str], list[str]]) -> Iterator[Listed]:
    for file in files:
        path = PurePosixPath(file)
        if path.suffix.lower() != _ARCHIVE:
            yield Listed(path, file)
            continue
        folder = path.with_suffix("") if split_word(path.stem) else path.parent
        yield from (Listed(folder / member, file, member) for member in sorted(names_in(file)))


def names_in_archive(opened: Any, name: str, dataset: str) -> list[str]:
    """Return the files in a .zip archive, given as a path or an open file. Raises SourceError naming the archive."""
    try:
        with zipfile.ZipFile(opened) as archive:
            return [member for member in archive.namelist() if not member.endswith("/")]
    except zipfile.BadZipFile as error:
        raise SourceError(f"{dataset}: {name} cannot be read: {error}") from error


def local_files(folder: Path, dataset: str) -> list[str]:
    """Return the files of a folder as relative paths in a fixed order, without hidden ones. Follows linked folders.

    Raises SourceError for a link that leaves the folder, since its content was not asked for, and for circular links.
    """
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (here / name).is_symlink():
                _check_link(here / name, folder, dataset)
        found += [(here / name).relative_to(folder).as_posix() for name in sorted(files) if not name.startswith(".")]
    return found


def _check_link(link: Path, folder: Path, dataset: str) -> None:
    target, name = link.resolve(), link.relative_to(folder)
    if not target.is_relative_to(folder.resolve()):
        raise SourceError(
            f"{dataset}: {name} is a symbolic link to {target}, outside the dataset; copy the folder there, "
            "or link its files"
        )
    above = [parent for parent in link.parents if parent.is_relative_to(folder)]
    if any(parent.resolve().is_relative_to(target) for parent in above):
        raise SourceError(f"{dataset}: {name} is a symbolic link to a folder that contains it ({target}); remove it")
