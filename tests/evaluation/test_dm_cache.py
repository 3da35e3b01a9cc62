"""The DM baseline's checkpoint in the cache: recomputed if damaged, used by one run at a time."""

from pathlib import Path

import pytest
import torch
from filelock import FileLock

from ncfm_hub.evaluation.table import match_means
from tests.damage import Notes, flip
from tests.evaluation.test_table import subject


@pytest.fixture
def baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))
    return tmp_path / "baselines"


def test_a_wrong_bit_is_found_said_and_mended(baselines: Path) -> None:
    it, notes = subject(), Notes()
    assert it.pool is not None
    first = match_means(it, it.pool, notes)
    (checkpoint,) = baselines.glob("*.safetensors")
    flip(checkpoint)
    assert torch.equal(match_means(it, it.pool, notes).images, first.images)
    assert notes.said[-1] == f"{checkpoint} is damaged (its content is not what was written); it is made anew"
    said = len(notes.said)
    assert torch.equal(match_means(it, it.pool, notes).images, first.images)
    assert len(notes.said) == said + 2  # that it is made, and gone on with from its last step


def test_a_run_that_waited_for_another_uses_its_images(baselines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = subject()
    assert it.pool is not None
    first = match_means(it, it.pool, Notes())
    (checkpoint,) = baselines.glob("*.safetensors")
    whole = checkpoint.read_bytes()
    checkpoint.unlink()
    lock = FileLock(checkpoint.with_suffix(".lock"))
    lock.acquire()

    class TheOtherEnds(Notes):
        def note(self, message: str) -> None:
            super().note(message)
            if "waiting" in message:
                checkpoint.write_bytes(whole)
                lock.release()

    notes = TheOtherEnds()
    monkeypatch.setattr(
        "ncfm_hub.distillation.distiller.Distiller.step", lambda *_: pytest.fail("a step was taken again")
    )
    assert torch.equal(match_means(it, it.pool, notes).images, first.images)
    assert "another run is distilling the same by feature means; waiting for it" in notes.said
