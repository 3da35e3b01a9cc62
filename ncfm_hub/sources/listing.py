"""The images of a folder or repository, one by one, those inside .zip files too; nothing is decoded."""

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
# Images that cannot be decoded (everywhere) count too: one that is passed over would be left out without a word.
_OTHER_IMAGES = frozenset({".avif", ".heic", ".heif", ".psd", ".eps"})
_ARCHIVE = ".zip"


@dataclass(frozen=True)
class Listed:
    """An image, or a file of metadata.

    place: where it counts as lying. The content of an archive lies where the archive does; one named like a split
        ("train.zip") is a folder of that name.
    file: the file that holds it, as a path in the dataset
    member: its name in that file, an archive; None if it is that file
    """

    place: PurePosixPath
    file: str
    member: str | None = None

    @property
    def name(self) -> str:
        """As a user can find it."""
        return self.file if self.member is None else f"{self.file}/{self.member}"


def list_images(files: Sequence[str], names_in: Callable[[str], list[str]]) -> tuple[list[Listed], list[Listed]]:
    """(images, files of metadata) in the order of `files`. names_in: the names of all files in an archive."""
    images, metadata = [], []
    for listed in _all(files, names_in):
        if any(part.startswith((".", "__")) for part in listed.place.parts):  # hidden, or left by a program (__MACOSX)
            continue
        if listed.place.name in METADATA_NAMES:
            metadata.append(listed)
        elif listed.place.suffix.lower() in _image_suffixes():
            images.append(listed)
    return images, metadata


def holds_images(files: Sequence[str]) -> bool:
    """Whether there is an image, or an archive that may hold some."""
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
    """The files in a .zip archive, given as a path or an open file. SourceError that names the archive."""
    try:
        with zipfile.ZipFile(opened) as archive:
            return [member for member in archive.namelist() if not member.endswith("/")]
    except zipfile.BadZipFile as error:
        raise SourceError(f"{dataset}: {name} cannot be read: {error}") from error


def local_files(folder: Path, dataset: str) -> list[str]:
    """The files of a folder as paths in it, hidden ones left out, always in one order. Linked folders are followed.

    SourceError for a link to a folder outside, as nobody asked for what lies there, and for one that goes in circles.
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
            f"{dataset}: {name} is a link to {target}, outside the dataset; put the folder itself there, "
            "or links to its files"
        )
    above = [parent for parent in link.parents if parent.is_relative_to(folder)]
    if any(parent.resolve().is_relative_to(target) for parent in above):
        raise SourceError(f"{dataset}: {name} is a link to a folder that it lies in ({target}); remove it")
