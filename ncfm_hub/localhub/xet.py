"""The two binary formats of Xet uploads, as far as needed to assemble complete files.

A file is cut into chunks. Chunks are sent in blocks (xorbs), each chunk after an 8-byte header: version, compressed
size (3 bytes), compression, uncompressed size (3 bytes). A shard lists files as runs of chunks of blocks, in 48-byte
records. Numbers are little-endian.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ncfm_hub.localhub.replies import HubError

_RECORD = 48
_SHARD_TAG = b"HFRepoMetaData"
_END = b"\xff" * 32
_HAS_VERIFICATION = 1 << 31
_HAS_SHA256 = 1 << 30
_STORED, _LZ4, _GROUPED_LZ4 = 0, 1, 2
_LARGEST_CHUNK = 1 << 20  # clients cut at 128 KiB
_MOST_CHUNKS = 1 << 15  # of a block; clients stop at 8,192


@dataclass(frozen=True)
class ChunkRun:
    """Chunks `first` to `end` (exclusive) of a block; `size` uncompressed bytes in total."""

    xorb: str
    size: int
    first: int
    end: int


@dataclass(frozen=True)
class ShardFile:
    """A file as described by a shard."""

    sha256: str
    runs: tuple[ChunkRun, ...]


def _hex(raw: bytes) -> str:
    """Format a hash, which Xet stores as four little-endian 64-bit numbers."""
    return "".join(raw[at : at + 8][::-1].hex() for at in (0, 8, 16, 24))


def _record(shard: BinaryIO) -> bytes:
    data = shard.read(_RECORD)
    if len(data) != _RECORD:
        raise HubError(400, "The shard is truncated")
    return data


def shard_files(shard: BinaryIO) -> Iterator[ShardFile]:
    """Yield the files described by a shard. Raises HubError (400) if it is malformed or lacks a SHA-256."""
    if not _record(shard).startswith(_SHARD_TAG):
        raise HubError(400, "The body is not a shard")
    while not (head := _record(shard)).startswith(_END):
        flags, count = struct.unpack_from("<II", head, 32)
        runs = []
        for _ in range(count):
            record = _record(shard)
            _, size, first, end = struct.unpack_from("<IIII", record, 32)
            if not size or not first < end <= _MOST_CHUNKS:
                raise HubError(400, "The shard refers to an invalid range of chunks")
            runs.append(ChunkRun(_hex(record[:32]), size, first, end))
        if flags & _HAS_VERIFICATION:
            for _ in range(count):
                _record(shard)
        if not flags & _HAS_SHA256:
            raise HubError(400, "The shard lacks the SHA-256 of a file")
        yield ShardFile(_hex(_record(shard)[:32]), tuple(runs))


def run_chunks(xorb: BinaryIO, run: ChunkRun) -> Iterator[bytes]:
    """Yield the uncompressed chunks of a run. Raises HubError (400) if the block does not contain them."""
    total = 0
    for index in range(run.end):
        header = xorb.read(8)
        if len(header) != 8 or header[0] != 0:  # an index may follow the last chunk, starting with other bytes
            raise HubError(400, f"Block {run.xorb} has fewer chunks than the shard states")
        packed, plain = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
        if index < run.first:
            xorb.seek(packed, os.SEEK_CUR)
            continue
        total += plain
        if total > run.size:
            break
        yield _unpack(xorb.read(packed), header[4], plain)
    if total != run.size:
        raise HubError(400, f"Block {run.xorb} differs in size from the shard")


def _unpack(data: bytes, packing: int, size: int) -> bytes:
    if size > _LARGEST_CHUNK or packing not in (_STORED, _LZ4, _GROUPED_LZ4):
        raise HubError(400, "A chunk is malformed")
    if packing != _STORED:
        data = _decompress(data, size)
    if len(data) != size:
        raise HubError(400, "A chunk differs in size from its header")
    return _ungroup(data) if packing == _GROUPED_LZ4 else data


def _decompress(data: bytes, size: int) -> bytes:
    """Decompress to at most one byte more than `size`, however far the data would expand."""
    import lz4.frame

    try:
        return lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1)
    except RuntimeError:
        raise HubError(400, "A chunk is malformed") from None


def _ungroup(data: bytes) -> bytes:
    """Undo the grouping of bytes by their position in 4-byte words."""
    plain = bytearray(len(data))
    start = 0
    for place in range(4):
        count = len(range(place, len(data), 4))
        plain[place::4] = data[start : start + count]
        start += count
    return bytes(plain)
