"""After a push, the images that `datasets` gives at the commit are compared with the folder's."""

import io
import shlex
import tempfile
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants
from PIL import Image

from ncfm_hub.errors import PublishError
from ncfm_hub.localhub.faults import DROP, Faults
from ncfm_hub.publishing import push_folder
from tests.publishing.hub.test_published_push import REPO
from tests.publishing.noise_sets import noise_set, write_folder, write_pool

CARD = "README.md"
DATA, STORED = (f"ipc2/{directory}/train-00000-of-00001.parquet" for directory in ("data", "stored"))
Change = Callable[[bytes], bytes]


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "a set", noise_set())


def test_one_line_says_what_was_compared(hub, here, folder, tmp_path):
    push_folder(folder, REPO, progress=here)
    assert here.lines[-2:] == [
        f"reading {REPO} back",
        "checked: 7 files by SHA-256, 30 images as load_dataset gives them",
    ]
    push_folder(write_folder(folder, noise_set(ipc=1)), REPO, progress=here)
    assert here.lines[-1] == "checked: 14 files by SHA-256, 45 images as load_dataset gives them"
    push_folder(write_pool(tmp_path / "pool"), "ada/pool", repo_type="model", progress=here)
    assert here.lines[-1] == "checked: 8 files by SHA-256"


def test_nothing_comes_from_the_users_caches_and_nothing_stays(hub, here, folder, tmp_path, monkeypatch):
    caches = {name: tmp_path / name for name in ("hub-cache", "datasets-cache", "temporary")}
    caches["temporary"].mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(caches["hub-cache"]))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", caches["datasets-cache"])
    monkeypatch.setattr(tempfile, "tempdir", str(caches["temporary"]))
    asked = []
    monkeypatch.setattr(Faults, "take", lambda _, method, path: asked.append(f"{method} {path}"))
    for times in (1, 2):
        revision = push_folder(folder, REPO).revision
        for shard in (DATA, STORED):
            assert asked.count(f"GET /datasets/{REPO}/resolve/{revision}/{shard}") == times
        assert not any(path.is_file() for cache in caches.values() for path in cache.rglob("*"))
        assert str(caches["hub-cache"]) == constants.HF_HUB_CACHE


@pytest.mark.parametrize("fault", [DROP, 409])
def test_what_may_pass_is_tried_again(hub, here, folder, monkeypatch, fault):
    """Of an answer other than the card, `datasets` says only that there are no files."""
    cards = iter([None, fault])  # the first is asked for to compare the file

    def take(faults: Faults, method: str, path: str) -> int | str | None:
        return next(cards, None) if (method, path.rpartition("/")[2]) == ("HEAD", CARD) else None

    monkeypatch.setattr(Faults, "take", take)
    push_folder(folder, REPO, progress=here)
    assert [line for line in here.lines if line.startswith(f"reading {REPO} back: ") and "trying again" in line]
    assert next(cards, "both were met") == "both were met"


# --- a hub that serves something else ------------------------------------------------------------------------------


def cell(row: int, column: str, change: Callable) -> Change:
    def changed(shard: bytes) -> bytes:
        table = pq.read_table(io.BytesIO(shard))
        cells = table[column].to_pylist()
        cells[row] = change(cells[row])
        field = table.schema.field(column)
        table = table.set_column(table.schema.get_field_index(column), field, pa.array(cells, field.type))
        return written(table)

    return changed


def written(table: pa.Table) -> bytes:
    pq.write_table(table, sink := io.BytesIO())
    return sink.getvalue()


def without_last_row(shard: bytes) -> bytes:
    return written(pq.read_table(io.BytesIO(shard))[:-1])


def painted(image: dict, add: int = 1) -> dict:
    """The image with another value in its last pixel; add=0: encoded otherwise only."""
    pixels = np.array(Image.open(io.BytesIO(image["bytes"])))
    pixels[-1, -1] += np.uint8(add)
    Image.fromarray(pixels).save(sink := io.BytesIO(), "PNG", compress_level=0)
    assert sink.getvalue() != image["bytes"]
    return {"bytes": sink.getvalue(), "path": None}


def cut(image: dict) -> dict:
    return {"bytes": image["bytes"][:60], "path": None}


def text(*replaced: tuple[str, str]) -> Change:
    def changed(card: bytes) -> bytes:
        found = card.decode()
        for old, new in replaced:
            assert old in found
            found = found.replace(old, new)
        return found.encode()

    return changed


@pytest.fixture
def served(monkeypatch) -> dict[str, Change]:
    """What a hub serves in place of what was sent, by name. It states what was sent, so that the files seem equal."""
    changes: dict[str, Change] = {}
    send = HfApi.create_commit

    def changed(operation):
        if operation.path_in_repo not in changes:
            return operation
        with operation.as_file() as content:
            return CommitOperationAdd(operation.path_in_repo, changes[operation.path_in_repo](content.read()))

    def tampered(api, repo, operations, **more):
        return send(api, repo, [changed(operation) for operation in operations], **more)

    monkeypatch.setattr(HfApi, "create_commit", tampered)
    monkeypatch.setattr("ncfm_hub.publishing.hub.push.check_files", lambda commit, files: None)
    return changes


GIVES = "load_dataset gives"
CANNOT = "load_dataset cannot load it"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({DATA: cell(7, "image", painted)}, f"'ipc2', row 7: {GIVES} another image than the folder holds"),
        ({STORED: cell(3, "image", painted)}, f"'ipc2_stored', row 3: {GIVES} another image than the folder holds"),
        ({DATA: cell(0, "image", cut)}, "'ipc2', row 0: the image cannot be decoded ("),
        ({STORED: cell(5, "label", lambda label: 0)}, f"'ipc2_stored', row 5: {GIVES} another label than"),
        ({DATA: cell(9, "soft_label", lambda it: it[::-1])}, f"'ipc2', row 9: {GIVES} another soft_label than"),
        ({DATA: cell(1, "tile", lambda tile: 2)}, f"'ipc2', row 1: {GIVES} another tile than"),
        ({STORED: cell(4, "index", lambda index: 0)}, f"'ipc2_stored', row 4: {GIVES} another index than"),
        ({CARD: text(("'1': bee", "'1': fly"))}, f"'ipc2': {GIVES} class 1 the name 'fly', and the folder 'bee'"),
        ({CARD: text(("dtype: int8", "dtype: int64"))}, f"'ipc2': {GIVES} column 'tile' as Value('int64'), expected"),
        ({CARD: text(("path: ipc2/stored/", "path: ipc2/data/"))}, f"'ipc2_stored': {CANNOT} ("),
        ({CARD: text(("_name: ipc2_stored", "_name: kept"))}, f"'ipc2_stored': {CANNOT} (ValueError: BuilderConfig"),
        ({CARD: text(("examples: 24", "examples: 25"))}, f"'ipc2': {CANNOT} (NonMatchingSplitsSizesError: "),
        (
            {CARD: text(("  splits:", "  parts:")), DATA: without_last_row},
            f"'ipc2': {GIVES} 23 rows, and the folder holds 24",
        ),
    ],
)
def test_what_differs_is_named(hub, here, folder, served, changes, says):
    served.update(changes)
    with pytest.raises(PublishError) as refused:
        push_folder(folder, REPO)
    said, revision = str(refused.value), hub.api().repo_info(REPO, repo_type="dataset").sha
    assert said.startswith(f"{REPO} at {revision[:12]}, config {says}")
    command = f"ncfm-hub push {shlex.quote(str(folder))} --repo-id {REPO}"
    assert said.endswith(f"; {REPO} is published at revision {revision}, compare it again with: {command}")
    assert "\n" not in said


def test_the_same_pixels_encoded_otherwise_are_equal(hub, here, folder, served):
    served[DATA] = cell(7, "image", lambda image: painted(image, 0))
    push_folder(folder, REPO, progress=here)
    assert here.lines[-1].endswith("30 images as load_dataset gives them")
