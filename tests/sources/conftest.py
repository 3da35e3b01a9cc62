"""Caches of their own for these tests, and small datasets to read."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "ncfm-cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets-cache")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write a folder of parquet: build(train, test, names=None) with rows (image bytes or None, label)."""
    from datasets import ClassLabel, Dataset, Features, Image, Value

    def build(
        train: Sequence[tuple[bytes | None, Any]],
        test: Sequence[tuple[bytes | None, Any]],
        *,
        names: Sequence[str] | None = None,
        test_name: str = "test",
        folder: str = "made",
    ) -> Path:
        label = train[0][1] if train else 0
        kind: Any = ClassLabel(names=list(names)) if names else Value("string" if isinstance(label, str) else "int32")
        features = Features({"picture": Image(), "kind": kind})
        for split, rows in (("train", train), (test_name, test)):
            cells = [{"bytes": data, "path": None} if data is not None else None for data, _ in rows]
            made = Dataset.from_dict({"picture": cells, "kind": [one for _, one in rows]}, features=features)
            path = tmp_path / folder / "data" / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            made.to_parquet(path)
        return tmp_path / folder

    return build
