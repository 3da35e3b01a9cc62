"""Advice for a run that cannot be resumed, followed literally: `--resume`, `--restart`, another folder and so on."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from ncfm_hub import api as run
from ncfm_hub.errors import CheckpointError, DistilledError
from tests.stopping import StopIn, Stopped

pytestmark = pytest.mark.slow  # whole runs

SMALL = {
    "source.classes": [3, 0],
    "pool.backbone": "convnet-d3-w32-instance-relu-avg",
    "pool.size": 1,
    "pool.epochs": 1,
    "distillation.steps": 4,
    "distillation.checkpoint_every": 1,
    "distillation.frequencies": 32,
    "distillation.real_batch": 8,
    "evaluation.students": 0,
    "engine.precision": "fp32",
    "engine.compile": "off",
}
CHECKPOINT = Path(".ncfm") / "distillation.safetensors"
Distill = Callable[..., run.Run]


@pytest.fixture(scope="module")
def distill(home: Path) -> Distill:
    def distill(folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> run.Run:
        return run.distill("digits", 1, preset="cpu", overrides=SMALL | (changes or {}), output=folder, **options)

    return distill


@pytest.fixture(scope="module")
def undisturbed(distill: Distill, home: Path) -> bytes:
    return images(distill(home / "undisturbed").set_folder)


@pytest.fixture
def stopped(distill: Distill, undisturbed: bytes, tmp_path: Path) -> Path:
    """What a run left that was stopped after two of four steps; what the user put there is in it, too."""
    with pytest.raises(Stopped):
        distill(tmp_path / "out", progress=StopIn("distilling", 2))
    (tmp_path / "out" / "ipc1" / "notes.txt").write_text("mine")
    return tmp_path / "out" / "ipc1"


def images(folder: Path) -> bytes:
    return (folder / "distilled.safetensors").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(folder: Path) -> None:
    (folder / CHECKPOINT).write_bytes((folder / CHECKPOINT).read_bytes()[:-50])


def refusal(call: Callable[[], object], kind: type[Exception], *named: str) -> str:
    with pytest.raises(kind) as raised:
        call()
    said = str(raised.value)
    assert "\n" not in said
    assert "without --resume" not in said
    for word in named:
        assert word in said
    return said


# --- what is said, done ------------------------------------------------------------------------------------------


def test_an_unfinished_run_is_gone_on_with_or_set_aside(distill: Distill, stopped: Path, undisturbed: bytes) -> None:
    root, before = stopped.parent, contents(stopped)
    refusal(lambda: distill(root), DistilledError, str(stopped), "--resume", "--restart", "--output")
    assert contents(stopped) == before
    heard = StopIn("", 0)
    made = distill(root, {"distillation.lr": 0.05}, restart=True, progress=heard)
    assert images(made.set_folder) != undisturbed
    aside = root.with_name("out-ipc1-1")
    assert contents(aside) == before, "renamed, and nothing of it is lost"
    assert f"what was in {str(stopped)!r} is in {str(aside)!r} now" in heard.notes
    assert not (stopped / "notes.txt").exists()
    aside.rename(root / "again")
    assert images(distill(root, resume=True, name="again").set_folder) == undisturbed, "what was set aside goes on"


def test_a_damaged_checkpoint_leaves_three_ways(distill: Distill, stopped: Path, undisturbed: bytes) -> None:
    root = stopped.parent
    damage(stopped)
    said = refusal(
        lambda: distill(root, resume=True), CheckpointError, str(stopped / CHECKPOINT), "--restart", "--output"
    )
    assert images(distill(root.with_name("elsewhere")).set_folder) == undisturbed
    assert "remove it to distill from the first step" in said
    (stopped / CHECKPOINT).unlink()
    assert images(distill(root, resume=True).set_folder) == undisturbed
    damage(stopped)
    assert images(distill(root, restart=True).set_folder) == undisturbed
    assert (root.with_name("out-ipc1-1") / "notes.txt").read_text() == "mine"


def test_changed_settings_leave_three_ways(distill: Distill, stopped: Path, undisturbed: bytes) -> None:
    root, changes = stopped.parent, {"distillation.lr": 0.05}
    said = refusal(
        lambda: distill(root, changes, resume=True), CheckpointError, "lr = 0.02", "0.05", "--restart", "--output"
    )
    assert "give the same settings" in said
    other = images(distill(root.with_name("elsewhere"), changes).set_folder)
    assert other != undisturbed
    assert len(load_file(stopped / CHECKPOINT)["curve"]) == 2, "still there to go on from"
    assert images(distill(root, resume=True).set_folder) == undisturbed
    assert images(distill(root, changes, restart=True).set_folder) == other
    assert images(root.with_name("out-ipc1-1")) == undisturbed, "a finished set is set aside as well"
    assert images(distill(root, replace=True).set_folder) == undisturbed
    assert images(root.with_name("out-ipc1-2")) == other


def test_so_do_classes_that_are_added(distill: Distill, undisturbed: bytes, tmp_path: Path) -> None:
    old = distill(tmp_path / "old").folder

    def append(changes: dict[str, Any] | None = None, **options: Any) -> run.Run:
        overrides = {"source.classes": [5]} | (changes or {})
        return run.distill("digits", 1, overrides=overrides, append=str(old), output=tmp_path / "out", **options)

    with pytest.raises(Stopped):
        append(progress=StopIn("distilling", 2))
    damage(tmp_path / "out" / "ipc1")
    refusal(lambda: append(resume=True), CheckpointError, "--restart", "--output")
    made = append(restart=True)
    damage(tmp_path / "out-ipc1-1")
    assert made.results["distillation"]["classes"] == ["5"]
    assert (made.set_folder / "distilled.safetensors").is_file()


# --- what is never touched ---------------------------------------------------------------------------------------


def test_a_folder_in_which_no_run_was_begun_is_never_renamed(distill: Distill, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for options in ({}, {"resume": True}, {"restart": True}):
        said = refusal(lambda options=options: distill(tmp_path / "mine", **options), DistilledError, "name another")
        assert "--restart" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
    refusal(lambda: distill(tmp_path / "new", resume=True, restart=True), DistilledError, "not both")
    assert not (tmp_path / "new").exists()


def test_nor_is_a_directory_of_the_user_beside_a_set(distill: Distill, stopped: Path) -> None:
    (stopped.parent / "ipc2").mkdir()
    (stopped.parent / "ipc2" / "thesis.tex").write_text("x")
    for options in ({}, {"resume": True}, {"restart": True}, {"replace": True}):
        with pytest.raises(DistilledError, match="holds no unfinished run; name another"):
            run.distill("digits", 2, preset="cpu", overrides=SMALL, output=stopped.parent, **options)
    assert [path.name for path in (stopped.parent / "ipc2").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("way", ["resume", "restart"])
def test_where_there_is_nothing_both_begin(distill: Distill, undisturbed: bytes, tmp_path: Path, way: str) -> None:
    """As for a command that was stopped before its folder was made."""
    assert images(distill(tmp_path / "new", **{way: True}).set_folder) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_the_current_folder_is_not_renamed(distill: Distill, stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stopped)
    before = contents(stopped)
    refusal(lambda: distill(stopped.parent, restart=True), DistilledError, "the current folder lies in it", "--output")
    assert contents(stopped) == before


# --- pools -------------------------------------------------------------------------------------------------------


def test_a_copy_of_a_pool_that_was_stopped_is_gone_on_with(
    undisturbed: bytes, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretrain() -> run.PoolResult:
        return run.pretrain("digits", preset="cpu", overrides=SMALL, output=tmp_path / "pool")

    copied = []

    def stop(source: Path, target: Path) -> None:
        if copied:
            raise Stopped
        copied.append(source.name)
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr("ncfm_hub.api.shutil.copyfile", stop)
        with pytest.raises(Stopped):
            pretrain()
    assert (tmp_path / "pool" / copied[0]).is_file()
    made = pretrain()
    assert {path.name for path in made.folder.iterdir()} >= {"pool.json", "00-init.safetensors", "model.safetensors"}
    assert not [path.name for path in made.folder.iterdir() if path.name.startswith(".")]
    with pytest.raises(DistilledError, match=re.escape(f"{str(tmp_path / 'pool')!r} is not empty; name another")):
        pretrain()
