"""The gallery's entries: from a distilled dataset to picture and page."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks import gallery
from ncfm_hub.demo import __main__ as demo
from tests.conftest import REPOSITORY
from tests.publishing.verifying.whole_sets import whole_set


def test_the_page_has_a_place_for_every_entry():
    page = (REPOSITORY / gallery.PAGE).read_text()
    for name in gallery.ENTRIES:
        assert f"<!-- table:{name} -->" in page
        assert f"<!-- /table:{name} -->" in page


def test_digits_are_those_of_the_demo():
    entry = gallery.ENTRIES["digits"]
    typed = shlex.split(gallery.command("digits", entry.ipc, "cpu", entry.flags))
    of_demo = [word for word in demo._COMMAND if word != "--push"]
    assert sorted(typed[1:]) == sorted(of_demo)


def test_a_folder_becomes_picture_command_and_accuracies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = whole_set(tmp_path / "set")
    results = json.loads((folder / "ipc2" / "results.json").read_text())
    for row in results["rows"]:
        row["stored_images"] = 6
    (folder / "ipc2" / "results.json").write_text(json.dumps(results))
    described = yaml.safe_load((folder / "ipc2" / "pipeline.yaml").read_text())
    described["source"]["train_count"] = 50_000
    (folder / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(described))
    page = tmp_path / gallery.PAGE
    page.parent.mkdir()
    page.write_text("before\n<!-- table:cifar10 -->\nold\n<!-- /table:cifar10 -->\nafter\n")
    monkeypatch.setattr("benchmarks.tables.ROOT", tmp_path)
    monkeypatch.setattr(gallery, "IMAGES", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gallery.py", "cifar10", "--folder", str(folder)])
    gallery.main()
    assert (tmp_path / "gallery-cifar10.png").read_bytes() == (folder / "ipc2" / "preview.png").read_bytes()
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "old" not in lines
    assert "`ncfm-hub distill --dataset cifar10 --ipc 2 --preset cpu --steps 500`" in lines
    assert "| **distilled** | soft | 6 | 62.5 ± 0.3 | 5 |" in lines
    assert any("500 steps, seed 0; 50,000 training and 360 test images; 1200 updates" in line for line in lines)
    assert str(tmp_path) not in page.read_text()


def test_a_large_picture_loses_colours_and_no_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "preview.png")
    size = (tmp_path / "preview.png").stat().st_size
    monkeypatch.setattr(gallery, "LARGEST", size // 2)
    gallery.picture(tmp_path / "preview.png", tmp_path / "made.png")
    assert (tmp_path / "made.png").stat().st_size <= size // 2
    assert Image.open(tmp_path / "made.png").size == (300, 200)
    monkeypatch.setattr(gallery, "LARGEST", size // 100)
    with pytest.raises(SystemExit, match="256 colours"):
        gallery.picture(tmp_path / "preview.png", tmp_path / "made.png")
