"""File contents, stored under their hashes, written atomically."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ncfm_hub.localhub import names


def git_oid(data: bytes) -> str:
    """Return Git's hash of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return the pointer file that Git stores in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Objects:
    """Blobs by Git hash, large files by SHA-256, Xet blocks by user and hash.

    Blocks are stored per user because their hash is not verified: a wrong one can only affect its sender's uploads.
    """

    def __init__(self, root: Path):
        self._blobs = root / "blobs"
        self._large = root / "large"
        self._xorbs = root / "xorbs"
        self._scratch = root / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # partial files of a killed server
        for folder in (self._blobs, self._large, self._xorbs, self._scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def blob(self, oid: str) -> Path:
        """Return the path of a small file; `oid` comes from the database, never from a client."""
        return self._blobs / oid[:2] / oid

    def large(self, sha256: str) -> Path:
        """Return the path of a large file, whether it exists or not."""
        checked = names.sha256(sha256)
        return self._large / checked[:2] / checked

    def xorb(self, user: str, hash_: str) -> Path:
        """Return the path of a block uploaded by `user`, whether it exists or not."""
        return self._xorbs / names.user_name(user) / names.sha256(hash_)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a path for a temporary file on the same disk; what is left there afterwards is removed."""
        path = self._scratch / uuid.uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, written: Path, place: Path) -> None:
        """Move a finished temporary file to its place so that it survives a power failure."""
        with open(written, "rb+") as handle:
            os.fsync(handle.fileno())
        if not place.parent.is_dir():
            place.parent.mkdir(exist_ok=True)
            _sync_folder(place.parent.parent)
        os.replace(written, place)
        _sync_folder(place.parent)

    def put_blob(self, data: bytes) -> str:
        """Store a small file and return its Git hash."""
        oid = git_oid(data)
        place = self.blob(oid)
        if not place.exists():
            with self.scratch() as path:
                path.write_bytes(data)
                self.adopt(path, place)
        return oid
