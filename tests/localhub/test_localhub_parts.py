"""The parts that need no server: names, Xet's formats, the trees of commits, permissions for uploads."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import lz4.frame
import pytest

from ncfm_hub.localhub import accounts, cards, names, trees
from ncfm_hub.localhub.database import Database
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.xet import ChunkRun, run_chunks, shard_files


@pytest.mark.parametrize("name", ["a", "A-b_c.d", "0", "_x_", "x" * 96, "cifar10-ncfm-ipc10"])
def test_good_repository_names(name: str) -> None:
    assert names.repo_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a-", ".a", "a.", "a--b", "a..b", "a/b", "x.git", "é", "a\n"])
def test_bad_repository_names(name: str) -> None:
    with pytest.raises(HubError) as refused:
        names.repo_name(name)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "path", ["a", ".gitattributes", "a/b c/ü.parquet", "..a", "a..b/c", ".github/x", "a:b/c"[::-1]]
)
def test_good_paths(path: str) -> None:
    assert names.file_path(path) == path


@pytest.mark.parametrize("name", ["main", "exp/one", "v1.0", "refs-x", "a+b"])
def test_good_references(name: str) -> None:
    assert names.ref_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a//b", "a..b", ".a", "a/.b", "a.lock", "-a", "a b", "a\0", "f" * 40, "a/", "/a", "refs/pr/1"]
)
def test_bad_references(name: str) -> None:
    with pytest.raises(HubError):
        names.ref_name(name)


def _packed(chunk: bytes, packing: int) -> bytes:
    """A chunk of a block, written from the format's description."""
    if packing == 2:
        grouped = b"".join(bytes(byte for at, byte in enumerate(chunk) if at % 4 == place) for place in range(4))
        body = lz4.frame.compress(grouped)
    else:
        body = lz4.frame.compress(chunk) if packing == 1 else chunk
    return struct.pack("<I", len(body) << 8) + struct.pack("<I", packing | len(chunk) << 8) + body


def test_chunks_of_a_block_come_out_as_they_went_in() -> None:
    chunks = [os.urandom(1001), b"", b"ab" * 4000, bytes(range(255)) * 3]
    block = b"".join(_packed(chunk, packing) for chunk, packing in zip(chunks, (0, 1, 1, 2), strict=True))
    for first, end in ((0, 4), (1, 3), (3, 4)):
        run = ChunkRun("x", sum(map(len, chunks[first:end])), first, end)
        assert b"".join(run_chunks(io.BytesIO(block + b"XETBLOB"), run)) == b"".join(chunks[first:end])


def test_blocks_that_do_not_hold_what_they_say() -> None:
    good = _packed(b"z" * 5000, 1)
    bomb = bytearray(_packed(bytes((1 << 24) - 1), 1))
    bomb[5:8] = (4000).to_bytes(3, "little")  # says that it unfolds to little
    for block, size, end in [
        (good, 5000, 2),
        (good, 4999, 1),
        (good[:-15], 5000, 1),
        (good[:4], 5000, 1),
        (bytes(bomb), 4000, 1),
        (b"\0\x04\0\0\x01\x04\0\0abcd", 4, 1),
        (b"\0\x04\0\0\x09\x04\0\0abcd", 4, 1),
        (b"\0\x04\0\0\x00\xff\xff\xffabcd", 4, 1),
    ]:
        with pytest.raises(HubError) as refused:
            list(run_chunks(io.BytesIO(block), ChunkRun("x", size, 0, end)))
        assert refused.value.status == 400


def _hash(text: str) -> bytes:
    """32 bytes as Xet writes a hash: four little-endian numbers of its hex."""
    return b"".join(int(text[at : at + 16], 16).to_bytes(8, "little") for at in range(0, 64, 16))


def test_shards_list_files() -> None:
    block, content = "0123456789abcdef" * 4, "fedcba9876543210" * 4
    head = b"HFRepoMetaData".ljust(32, b"\0") + struct.pack("<QQ", 2, 0)
    flags = 1 << 31 | 1 << 30
    file = _hash("11" * 32) + struct.pack("<IIQ", flags, 2, 0)
    runs = [_hash(block) + struct.pack("<IIII", 0, size, first, end) for size, first, end in ((900, 0, 3), (70, 7, 8))]
    checks = [bytes(48)] * 2
    shard = head + file + b"".join(runs + checks) + _hash(content) + bytes(16) + b"\xff" * 32 + bytes(16)
    (found,) = shard_files(io.BytesIO(shard))
    assert found.sha256 == content
    assert found.runs == (ChunkRun(block, 900, 0, 3), ChunkRun(block, 70, 7, 8))
    without = head + _hash("11" * 32) + struct.pack("<IIQ", 0, 0, 0) + b"\xff" * 32 + bytes(16)
    for bad in (b"", b"x" * 48, shard[:-48], shard[:100], without):
        with pytest.raises(HubError):
            list(shard_files(io.BytesIO(bad)))


def test_folders_change_their_hash_with_their_content_only() -> None:
    before = trees.apply({}, [trees.Put("a/b/c", "1" * 40, 1, None), trees.Put("d", "2" * 40, 1, None)], "first")
    after = trees.apply(before, [trees.Put("d", "3" * 40, 1, None)], "second")
    assert trees.folders(before) == {"a": ["a/b/c"], "a/b": ["a/b/c"]}
    assert trees.folder_oid(before, ["a/b/c"]) == trees.folder_oid(after, ["a/b/c"])
    changed = trees.apply(before, [trees.Put("a/b/c", "4" * 40, 1, None)], "third")
    assert trees.folder_oid(before, ["a/b/c"]) != trees.folder_oid(changed, ["a/b/c"])
    assert (after["d"].commit, after["a/b/c"].commit) == ("second", "first")
    assert trees.parse_tree(trees.dump(after)) == after


def test_tickets_end_and_hold_for_one_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(tmp_path / "hub.db")
    book = accounts.Accounts(database)
    ticket, ends = book.ticket("xet", "ada")
    assert book.redeem("xet", ticket) == "ada"
    assert accounts.Accounts(database).redeem("xet", ticket) == "ada", "the secret outlives the process"
    for purpose, forged in (("lfs", ticket), ("xet", ""), ("xet", "."), ("xet", "é.é"), ("xet", ticket + "0")):
        with pytest.raises(HubError) as refused:
            book.redeem(purpose, forged)
        assert refused.value.status == 401
    monkeypatch.setattr(accounts.time, "time", lambda: ends + 1)
    with pytest.raises(HubError):
        book.redeem("xet", ticket)
    database.close()


def test_cards_as_written_on_windows_and_without_a_header() -> None:
    assert cards.parse_header("\ufeff---\r\nlicense: mit\r\n---\r\ntext") == {"license": "mit"}
    assert cards.parse_header("---\n---\n") == {}
    assert cards.parse_header("# no header\n---\na: 1\n---\n") is None
    assert cards.tags({"tags": ["x"], "license": ["mit"], "language": "en", "task_categories": None}) == [
        *("x", "language:en", "license:mit"),
    ]


@pytest.mark.parametrize("value", ["!!int ''", "!!float ''", "!!timestamp x", "!!bool x"])
def test_a_header_whose_scalars_do_not_fit_their_tags(value: str) -> None:
    with pytest.raises(cards.CardError, match="YAML parse error"):
        cards.parse_header(f"---\na: {value}\n---\n")
