"""The plan of an extractor pool: what `pretrain` would do, and where it would push."""

from pathlib import Path

import pytest

import ncfm_hub
from ncfm_hub.errors import DistilledError

SMALL = {"pool.backbone": "convnet-d1-w32-instance-relu-avg", "pool.size": 2, "pool.epochs": 1}


def test_nothing_is_trained_and_no_folder_is_made(home: Path, tmp_path: Path) -> None:
    found = ncfm_hub.plan_pool("digits", preset="cpu", overrides=SMALL, output=tmp_path / "pool")
    assert not (tmp_path / "pool").exists()
    assert found.pool == {
        "architecture": "convnet-d1-w32-instance-relu-avg",
        "members": 2,
        "cached": False,
        "origin": "to be trained",
    }
    assert found.minutes is not None
    assert found.minutes > 0
    lines = found.lines()
    assert lines[0] == "pipeline   digits (preset cpu)"
    assert lines[-2:] == [f"folder     {tmp_path / 'pool'}", "push to    nowhere (no --push)"]
    data = found.as_dict()
    assert (data["minutes"], data["repo_id"], data["commit"]) == (found.minutes, None, None)
    assert data["recipe"]["pool"]["size"] == 2


def test_a_folder_in_use_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DistilledError, match="is not empty"):
        ncfm_hub.plan_pool("digits", preset="cpu", overrides=SMALL, output=tmp_path)
