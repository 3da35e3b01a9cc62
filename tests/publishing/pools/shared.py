"""Pools on the test's hub, and caches of a test's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LiveHub

KEY = "0123456789abcdef" * 2


def own_caches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process use caches of its own; returns the folder of the pools."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub-cache"))
    monkeypatch.setenv("NCFM_HUB_CACHE", str(folder / "cache"))
    return folder / "cache" / "pools"


def upload_pool(hub: LiveHub, folder: Path, repo_id: str = "ada/pool") -> str:
    """Upload a folder as it is, unchecked; returns the place at its commit."""
    api = hub.api()
    api.create_repo(repo_id, exist_ok=True)
    return f"{repo_id}@{api.upload_folder(repo_id=repo_id, folder_path=folder).oid}"


def rewrite(folder: Path, **changes: Any) -> None:
    """Change entries of pool.json, with the digest that fits, as its publisher could."""
    from ncfm_hub.utils.sealed import save_record

    described = json.loads((folder / "pool.json").read_text())
    del described["sha256"]
    save_record(folder / "pool.json", described | changes)
