"""Files of a dataset: read in place from a folder, or downloaded through the Hub client's cache.

File by file, since `snapshot_download` selects by globs: `a[1].png` would not match itself, and each of the
repository's files is compared with each pattern.
"""

import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ncfm_hub.sources.listing import Listed, names_in_archive
from ncfm_hub.sources.place import Place
from ncfm_hub.sources.reading import reading

_AT_ONCE = 16  # connections; files of image folders are small


def fetch(place: Place, files: Sequence[str]) -> dict[str, Path]:
    """Return the local path of each file, downloading it if necessary."""
    if place.folder is not None:
        return {file: place.folder / file for file in files}
    from huggingface_hub import hf_hub_download

    def download(file: str) -> Path:
        return Path(
            hf_hub_download(place.dataset, file, repo_type="dataset", revision=place.revision, token=place.token)
        ).absolute()

    with reading(place), ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(files, pool.map(download, files), strict=True))


def contents(place: Place, listed: Sequence[Listed]) -> dict[Listed, bytes]:
    """Return the bytes of small files, some of them inside archives."""
    where = fetch(place, sorted({one.file for one in listed}))
    return {one: _read(where[one.file], one.member) for one in listed}


def _read(path: Path, member: str | None) -> bytes:
    if member is None:
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)


def archive_names(place: Place, file: str) -> list[str]:
    """Return the files in an archive; on the Hub, only its index is downloaded.

    Raises SourceError naming the archive.
    """
    if place.folder is not None:
        return names_in_archive(place.folder / file, file, place.dataset)
    from huggingface_hub import HfFileSystem

    with reading(place), HfFileSystem(token=place.token).open(f"{place.loadable}@{place.revision}/{file}") as opened:
        return names_in_archive(opened, file, place.dataset)
