"""The bytes of files, kept under their hashes. A file is there whole or not at all."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ncfm_hub.localhub import names


def git_oid(data: bytes) -> str:
    """The name git gives to a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The small text that git holds in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Objects:
    """Blobs by git hash, large files by SHA-256, Xet's blocks by user and hash.

    Blocks are kept per user because their hash is not checked here: a wrong one can only spoil its sender's uploads.
    """

    def __init__(self, root: Path):
        self._blobs = root / "blobs"
        self._large = root / "large"
        self._xorbs = root / "xorbs"
        self._scratch = root / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed server left half-written
        for folder in (self._blobs, self._large, self._xorbs, self._scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def blob(self, oid: str) -> Path:
        """Where a small file lies; `oid` comes from the database, never from a client."""
        return self._blobs / oid[:2] / oid

    def large(self, sha256: str) -> Path:
        """Where a large file lies or would lie."""
        checked = names.sha256(sha256)
        return self._large / checked[:2] / checked

    def xorb(self, user: str, hash_: str) -> Path:
        """Where a block that `user` uploaded lies or would lie."""
        return self._xorbs / names.user_name(user) / names.sha256(hash_)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A path for a temporary file on the same disk; whatever is still there afterwards is removed."""
        path = self._scratch / uuid.uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, written: Path, place: Path) -> None:
        """Move a finished temporary file to its place so that it survives a power cut."""
        with open(written, "rb+") as handle:
            os.fsync(handle.fileno())
        if not place.parent.is_dir():
            place.parent.mkdir(exist_ok=True)
            _sync_folder(place.parent.parent)
        os.replace(written, place)
        _sync_folder(place.parent)

    def put_blob(self, data: bytes) -> str:
        """Keep a small file and return its git hash."""
        oid = git_oid(data)
        place = self.blob(oid)
        if not place.exists():
            with self.scratch() as path:
                path.write_bytes(data)
                self.adopt(path, place)
        return oid
