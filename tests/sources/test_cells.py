"""Cells of an image column: bytes, files and members of archives; nothing outside the roots."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ncfm_hub.sources.cells import Cells
from ncfm_hub.sources.decode import Undecodable
from tests.sources.small_images import zipped


def path_cell(path: object) -> dict[str, Any]:
    return {"bytes": None, "path": str(path)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with an image and an archive; beside it, outside, another archive."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a file")
    (folder / "a.zip").write_bytes(zipped({"cat/1.png": b"first", "cat/2.png": b"second", "cat/3.png": b"damaged"}))
    (tmp_path / "outside.zip").write_bytes(zipped({"cat/1.png": b"secret"}))
    return folder


def test_bytes_files_and_members(root: Path) -> None:
    with Cells([root]) as cells:
        assert cells.encoded(b"plain") == b"plain"
        assert cells.encoded({"bytes": b"held", "path": "any.png"}) == b"held"
        assert cells.encoded(path_cell(root / "sub" / ".." / "a.png")) == root / "a.png"
        assert cells.encoded(path_cell(f"zip://cat/2.png::{root}/a.zip")) == b"second"
        assert cells.encoded(path_cell(f"zip://cat/1.png::{root}/sub/../a.zip")) == b"first"


@pytest.mark.parametrize(
    "path",
    [
        "{root}/../outside.zip",
        "a.png",
        "zip://cat/1.png::{root}/../outside.zip",
        "zip://cat/1.png::outside.zip",
        "zip://cat/1.png",
        "zip://cat/1.png::zip://inner.zip::{root}/a.zip",
        "zip://cat/1.png::file://{root}/a.zip",
        "tar://cat/1.png::{root}/a.tar",
        "file://{root}/a.png",
        "https://example.com/a.png",
    ],
)
def test_nothing_else_is_opened(root: Path, path: str) -> None:
    with Cells([root]) as cells, pytest.raises(Undecodable, match="a path to a file outside the dataset"):
        cells.encoded(path_cell(path.format(root=root)))


def test_what_an_archive_does_not_give(root: Path) -> None:
    archive = root / "a.zip"
    archive.write_bytes(archive.read_bytes().replace(b"damaged", b"DAMAGED"))
    (root / "no.zip").write_bytes(b"no archive")
    with Cells([root]) as cells:
        with pytest.raises(Undecodable, match=r"a\.zip has no file 'cat/9\.png'"):
            cells.encoded(path_cell(f"zip://cat/9.png::{archive}"))
        with pytest.raises(Undecodable, match=r"a\.zip cannot be read: Bad CRC-32"):
            cells.encoded(path_cell(f"zip://cat/3.png::{archive}"))
        with pytest.raises(Undecodable, match=r"no\.zip cannot be read: File is not a zip file"):
            cells.encoded(path_cell(f"zip://cat/1.png::{root}/no.zip"))
        with pytest.raises(Undecodable, match=r"gone\.zip cannot be read: .*No such file"):
            cells.encoded(path_cell(f"zip://cat/1.png::{root}/gone.zip"))
        with pytest.raises(Undecodable, match="it is missing"):
            cells.encoded(None)


@pytest.mark.parametrize("open_at_once", [1, 16])
def test_many_threads_and_archives(root: Path, monkeypatch: pytest.MonkeyPatch, open_at_once: int) -> None:
    monkeypatch.setattr("ncfm_hub.sources.cells._OPEN_AT_ONCE", open_at_once)
    for number in range(3):
        (root / f"{number}.zip").write_bytes(zipped({f"{k}.png": b"%d/%d" % (number, k) for k in range(50)}))
    asked = [(k % 3, k % 50) for k in range(600)]
    with Cells([root]) as cells, ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda one: cells.encoded(path_cell(f"zip://{one[1]}.png::{root}/{one[0]}.zip")), asked)
        assert list(found) == [b"%d/%d" % one for one in asked]
