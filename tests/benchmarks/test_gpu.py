"""The benchmark for GPUs: that all of it runs, on the CPU, without `datasets` and a network, and keeps to its time."""

import io
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.gpu_parts import pixels
from benchmarks.gpu_parts.cells import parse_cells
from benchmarks.gpu_parts.lease import Lease, Piece, Skip, Watch
from benchmarks.gpu_parts.page import NOTHING, page
from benchmarks.gpu_parts.rates import projection
from benchmarks.gpu_parts.shapes import SHAPES, recipe_of
from benchmarks.tables import put_table
from ncfm_hub.errors import PipelineError
from tests.children import run_python
from tests.conftest import REPOSITORY, clean_environment

# Runs the file that its first argument names, where `datasets` cannot be imported and no address be looked up.
BARE = """
import runpy, socket, sys

class NoDatasets:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "datasets":
            raise ImportError("there is no datasets here")

def no_network(*_, **__):
    raise OSError("there is no network here")

sys.meta_path.insert(0, NoDatasets())
socket.getaddrinfo = socket.create_connection = no_network
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NAMES = ["cat", "dog"]


def write_shard(path: Path, count: int, seed: int) -> torch.Tensor:
    """A shard as the Hub has them; returns the pixels."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    cells = []
    for image in images:
        encoded = io.BytesIO()
        Image.fromarray(image).save(encoded, "PNG")
        cells.append({"bytes": encoded.getvalue(), "path": None})
    table = pa.table({"img": cells, "label": [number % len(NAMES) for number in range(count)]})
    features = {"label": {"names": NAMES, "_type": "ClassLabel"}}
    about = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), path)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.parquet" for name in ("a", "b", "t")]
    for seed, path in enumerate(paths):
        write_shard(path, 20, seed)
    return paths


def read(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.e2e
def test_all_parts_run_where_there_is_neither_datasets_nor_a_network(tmp_path: Path, shards: list[Path]) -> None:
    out, home = tmp_path / "out", tmp_path / "home"
    home.mkdir()
    arguments = ["--tiny", "--minutes", "10", "--out", out, "--train", *shards[:2], "--test", shards[2]]
    arguments += ["--cell", "distillation.lr=0.1", "--cell", "distillation.lr=0.2,distillation.steps=3"]
    script = ["-c", BARE, REPOSITORY / "benchmarks" / "gpu.py", *arguments]
    done = run_python(script, clean_environment(home), tmp_path, 300)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = read(out, "summary")
    assert not summary["skipped"]
    assert not summary["failed"]
    assert all(one["holds"] for one in read(out, "oracle")["pieces"].values())
    steps = read(out, "step")["pieces"]
    assert list(steps) == [shape.name for shape in SHAPES]
    assert all(0 < one["draws_ms"] < one["step_ms"] for one in steps.values())
    assert set(read(out, "rate")["pieces"]) == {"pool", "students", "projection"}
    cells = read(out, "cell")["pieces"]
    first, second, students = cells.values()
    assert (first["steps"], second["steps"]) == (4, 3)
    assert (first["pool"]["origin"], second["pool"]["origin"]) == ("trained here", "cache")
    assert [(row["cell"], row["labels"]) for row in students["rows"]] == [
        (cell, labels) for cell in list(cells)[:2] for labels in ("hard", "soft")
    ]
    (tmp_path / "results").mkdir()
    out.rename(tmp_path / "results" / "card")
    tables = page(tmp_path / "results")
    assert all(name in tables for name in (*cells, *steps))


def test_what_does_not_fit_is_skipped_and_named_and_what_fails_stops_nothing(tmp_path: Path) -> None:
    lease = Lease(time.monotonic(), 60, tmp_path)

    def fail() -> dict[str, Any]:
        raise ValueError("of no use\nhere")

    def skip() -> dict[str, Any]:
        raise Skip("no images")

    def last() -> dict[str, Any]:
        assert "part: long" in read(tmp_path, "summary")["skipped"]  # as it goes, for a lease may end at any time
        return {"value": 2}

    lease.run(
        [
            Piece("part", "short", 1, lambda: {"value": 1}),
            Piece("part", "long", 61, lambda: {"value": 0}),
            Piece("part", "broken", 1, fail),
            Piece("part", "without", 1, skip),
            Piece("other", "last", 1, last),
        ]
    )
    summary = read(tmp_path, "summary")
    assert summary["done"] == ["part: short", "other: last"]
    assert summary["skipped"]["part: long"].startswith("needs 61 s, ")
    assert summary["skipped"]["part: without"] == "no images"
    assert summary["failed"] == {"part: broken": "ValueError: of no use here"}
    assert read(tmp_path, "part")["pieces"]["short"]["value"] == 1
    assert list(read(tmp_path, "other")["pieces"]) == ["last"]


def test_a_stage_that_would_not_end_in_time_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At one unit a second, 100 units do not fit 60 seconds of which 20 are reserved; 40 do."""
    now = [0.0]
    monkeypatch.setattr("benchmarks.gpu_parts.lease.time.monotonic", lambda: now[0])
    lease = Lease(0.0, 60, tmp_path)

    def advance(total: int) -> int:
        now[0] = 0.0
        with Watch(lease, 20).bar(total, "training") as bar:
            for _ in range(total):
                now[0] += 1
                bar.advance()
        assert math.isclose(bar.rate, 1)
        return bar.done

    assert advance(40) == 40
    with pytest.raises(Skip, match="training takes 88 s more, 28 s are left"):
        advance(100)


def test_cells_are_settings_that_change_a_preset() -> None:
    cells = parse_cells(["distillation.steps=7,pool.epochs=2", "evaluation.updates=9"], "paper", tiny=False)
    first, second = cells.values()
    assert (first.distillation.steps, first.pool.epochs, first.distillation.ipc) == (7, 2, 10)
    assert (second.evaluation.updates, second.evaluation.epochs, second.pool.epochs) == (9, None, 60)
    assert list(parse_cells([], "paper", tiny=False)) == ["paper"]
    with pytest.raises(PipelineError, match=r"unknown key.*epochs"):
        parse_cells(["pool.epoch=2"], "paper", tiny=False)
    with pytest.raises(ValueError, match=r"--cell engine\.precision: all cells share it"):
        parse_cells(["engine.precision=fp32"], "paper", tiny=False)


def test_parquet_shards_and_tensor_files_give_the_same_source(
    tmp_path: Path, shards: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = torch.cat([write_shard(path, 20, seed) for seed, path in enumerate(shards[:2])])
    source = pixels.read_source("cifar10", shards[:2], shards[2:], 16)
    assert source.info.class_names == ("cat", "dog")
    assert torch.equal(source.train.images, expected)
    assert source.train.labels.tolist() == [0, 1] * 20
    tensors = tmp_path / "train.safetensors"
    save_file({"images": expected, "labels": source.train.labels.to(torch.uint8)}, tensors)
    same = pixels.read_source("cifar10", [tensors], shards[2:], 16)
    assert torch.equal(same.train.images, expected)
    assert torch.equal(same.train.labels, source.train.labels)
    assert same.fingerprint != source.fingerprint
    with pytest.raises(ValueError, match=r"images of \(3, 16, 16\); expected \(3, 32, 32\)"):
        pixels.read_source("cifar10", [tensors], shards[2:], 32)
    monkeypatch.setattr(pixels, "IN_ONE_PROCESS", 0)
    assert torch.equal(pixels.read_images(shards[:2], 16).images, expected)


def test_a_run_is_projected_from_step_and_rates(tmp_path: Path) -> None:
    """20 x 60 epochs of 390 batches of 128; 20,000 steps; 5 rows x 10 students x 2,000 epochs of 4 batches of 128."""
    lease, recipe = Lease(0.0, 60, tmp_path), recipe_of("paper", {}, tiny=False)
    with pytest.raises(Skip):
        projection(lease, recipe)
    rate = {"images_per_second": 200_000, "compilation_seconds": 15.0}
    lease.known = {
        "step": {"CIFAR-10 IPC 10": {"step_ms": 12.0, "first_step_seconds": 30.0}},
        "rate": {"pool": rate, "students": rate},
    }
    pool, students = 20 * 60 * 390 * 128 / 200_000 / 60, 50 * 8000 * 128 / 200_000 / 60
    minutes = projection(lease, recipe)["minutes"]
    assert minutes == pytest.approx(
        {"pool": pool, "distillation": 4, "students": students, "compilation": 1, "all": pool + students + 5}, abs=0.01
    )


def test_without_results_the_page_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md").write_text("# A\n<!-- table:gpu -->\n<!-- /table:gpu -->\n")
    monkeypatch.setattr("benchmarks.tables.ROOT", tmp_path)
    put_table("page.md", "gpu", page(tmp_path / "none"))
    assert (tmp_path / "page.md").read_text().splitlines()[2] == NOTHING


def test_the_page_is_that_of_the_results() -> None:
    """What stands in docs/engine.md was made by `benchmarks/gpu.py --table`."""
    made = page(REPOSITORY / "benchmarks" / "results" / "gpu")
    text = (REPOSITORY / "docs" / "engine.md").read_text()
    assert f"<!-- table:gpu -->\n{made}\n<!-- /table:gpu -->" in text
