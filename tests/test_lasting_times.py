"""Times of an interrupted run: by stage, over all its parts."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from ncfm_hub import api as run
from ncfm_hub.utils.progress import Bar, Silent
from ncfm_hub.utils.stopwatch import Stopwatch, Ticking
from tests.stopping import StopIn, Stopped

pytestmark = pytest.mark.slow  # whole runs

SMALL = {
    "source.classes": [3, 0],
    "pool.size": 2,
    "pool.epochs": 2,
    "distillation.steps": 3,
    "distillation.checkpoint_every": 1,
    "distillation.frequencies": 32,
    "distillation.real_batch": 8,
    "evaluation.students": 1,
    "evaluation.updates": 2,
    "evaluation.baselines": ["random"],
    "evaluation.soft_labels": False,
    "engine.precision": "fp32",
    "engine.compile": "off",
}


class Late(StopIn):
    """Takes a tenth of a second for each unit of the stages named."""

    def __init__(self, slow: tuple[str, ...], stage: str = "", units: int = 0):
        super().__init__(stage, units)
        self.slow = slow

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        with super().bar(total, what, done) as bar:
            yield _LateBar(bar) if what in self.slow else bar


class _LateBar:
    def __init__(self, bar: Bar):
        self.bar = bar

    def advance(self, count: int = 1, **figures: float | str) -> None:
        time.sleep(0.1)
        self.bar.advance(count, **figures)


def distill(folder: Path, **options: Any) -> float:
    """Seconds it took, whichever way it ended."""
    began = time.perf_counter()
    with suppress(Stopped):
        run.distill("digits", 1, preset="cpu", overrides=SMALL, output=folder, **options)
    return time.perf_counter() - began


def test_stages_of_a_run_stopped_thrice_add_up(home: Path, tmp_path: Path) -> None:
    """Stopped while the pool is trained, while images are distilled and while students are trained."""
    out, slow = tmp_path / "out", ("pretraining", "distilling", "evaluating")
    folder = out / "ipc1"
    spent = distill(out, progress=Late(slow, "pretraining", 5))
    after_pool = json.loads((folder / ".ncfm" / "times.json").read_text())
    assert after_pool["pool"] > 5 * 0.1
    spent += distill(out, progress=Late(slow, "distilling", 2), resume=True)
    spent += distill(out, progress=Late(slow, "evaluating", 0), resume=True)
    assert not (folder / "pipeline.yaml").exists()
    spent += distill(out, progress=Late(slow), resume=True)
    times = yaml.safe_load((folder / "pipeline.yaml").read_text())["wall_time_seconds"]
    assert list(times) == ["source", "pool", "distill", "labels", "evaluate", "total"]
    assert times["pool"] >= max(8 * 0.1, after_pool["pool"])  # 2 members of 2 epochs of 2 batches
    assert times["distill"] >= 3 * 0.1
    assert times["evaluate"] >= 2 * 0.1
    assert times["total"] == pytest.approx(sum(times.values()) - times["total"], abs=0.3)
    assert times["total"] <= spent
    assert f"| time: pool | {times['pool']:.1f} s |" in (out / "README.md").read_text()
    results = json.loads((folder / "results.json").read_text())["distillation"]
    assert results["seconds_per_step"] == pytest.approx(times["distill"] / 3, rel=0.1)


def test_a_kill_loses_no_more_than_what_is_since_the_last_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("ncfm_hub.utils.stopwatch.time.perf_counter", lambda: now[0])
    file = tmp_path / ".ncfm" / "times.json"
    killed = Stopwatch(file, Silent())
    with killed.measure("source"):
        now[0] += 5
    progress = Ticking(Silent(), killed)
    with killed.measure("pool"), progress.bar(100, "pretraining") as bar:
        for _ in range(100):
            now[0] += 0.5
            bar.advance()
        now[0] += 30  # a step in whose midst it is killed
        kept = json.loads(file.read_text())
    assert kept["source"] == 5
    assert 48 <= kept["pool"] <= 50
    file.write_text(json.dumps(kept))
    resumed = Stopwatch(file, Silent())
    with resumed.measure("pool"):
        now[0] += 7
    assert json.loads(file.read_text()) == {"source": 5, "pool": kept["pool"] + 7}


def test_nothing_is_left_by_a_run_whose_source_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stopwatch, "every", 0.0)
    watch = Stopwatch(tmp_path / "times.json", Silent())

    def read() -> None:
        with watch.measure("source"), Ticking(Silent(), watch).bar(9, "decoding") as bar:
            bar.advance()
            raise Stopped

    with pytest.raises(Stopped):
        read()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["", "[]", '{"pool": -1}', '{"pool": "7"}', '{"pool": NaN}', '{"pool": Infinity}', "\xff"]
)
def test_damaged_times_are_said_and_begin_anew(tmp_path: Path, content: str) -> None:
    file, heard = tmp_path / "times.json", StopIn("", 0)
    file.write_text(content, encoding="latin-1")
    watch = Stopwatch(file, heard)
    assert watch.seconds == {}
    (said,) = heard.notes
    assert str(file) in said
    assert "not known" in said
    assert json.loads(file.read_text()) == {}
