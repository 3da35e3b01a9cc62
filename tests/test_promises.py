"""Following the advice in a message works, and what it says is left alone stays unchanged."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ncfm_hub.cli import main
from ncfm_hub.demo import __main__ as demo
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.distillation.loop import distill_images
from ncfm_hub.errors import CheckpointError, DistilledError, PoolError
from ncfm_hub.extractors.cache import get_pool
from ncfm_hub.machine.engine import Engine
from ncfm_hub.publishing import write_card
from ncfm_hub.publishing.dataset.folders import check_output
from ncfm_hub.publishing.exchange.exports import export_set
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.reporting import write_report
from ncfm_hub.sources import Source
from tests.matching.tiny import tiny_pool, tiny_settings
from tests.publishing.noise_sets import noise_set, write_folder
from tests.reporting.test_studies import continual
from tests.stopping import StopAfter, Stopped

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    return write_folder(tmp_path / "set", noise_set(), class_ids=[0, 1, 2])


@pytest.mark.parametrize("step", [0, 3])
def test_an_entry_of_a_bank_that_is_gone_is_made_again_by_resume(
    source: Source, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Before the first checkpoint and after it: the run ends as one in which nothing was ever gone."""
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    pool, settings = tiny_pool(source), tiny_settings(bank=1, steps=6, checkpoint_every=2)
    undisturbed = distill_images(source, pool, settings, engine)
    (entry,) = (tmp_path / "cache" / "banks").rglob("*.safetensors")
    take = Distiller.step

    def lose(self: Distiller, number: int) -> tuple[float, float]:
        if number == step:
            entry.unlink()
        return take(self, number)

    def run(resume: bool) -> torch.Tensor:
        return distill_images(source, pool, settings, engine, tmp_path / "checkpoint", resume).stored

    with monkeypatch.context() as patch:
        patch.setattr(Distiller, "step", lose)
        with pytest.raises(CheckpointError, match="go on with --resume, which makes it again"):
            run(resume=False)
    assert torch.equal(run(resume=True), undisturbed.stored)
    assert entry.is_file()


def test_a_file_where_a_page_should_be_stays_and_both_ways_out_work(folder: Path, tmp_path: Path) -> None:
    taken = tmp_path / "page.html"
    taken.write_text("mine")
    with pytest.raises(DistilledError, match="so it stays; move it away or name another file"):
        write_report(folder, taken, start=False)
    assert taken.read_text() == "mine"
    assert write_report(folder, tmp_path / "other.html", start=False).is_file()
    taken.rename(tmp_path / "mine.html")
    assert write_report(folder, taken, start=False).read_text().startswith("<!DOCTYPE html>")


def test_a_study_of_other_classes_moved_away_lets_the_page_be_written(folder: Path, tmp_path: Path) -> None:
    study = folder / "ipc2" / "continual.json"
    study.write_text(json.dumps(continual("ant", "bee", "dog")))
    with pytest.raises(DistilledError, match="about other classes than the dataset in that folder; move it away"):
        write_report(folder, tmp_path / "page.html", start=False)
    study.rename(tmp_path / "continual.json")
    assert write_report(folder, tmp_path / "page.html", start=False).is_file()


@pytest.mark.parametrize("header", ["a: [b", "- a list"])
def test_a_header_that_cannot_be_read_is_mended_or_removed(folder: Path, header: str) -> None:
    card = folder / "README.md"
    card.write_text(f"---\n{header}\n---\n\nMy own words.\n")
    with pytest.raises(DistilledError, match="mend or remove it"):
        write_card(folder)
    assert "My own words." in card.read_text()
    for rest in ("---\nmine: 1\n---\n\nMy own words.\n", "My own words.\n"):
        card.write_text(rest)
        write_card(folder)
        assert "My own words." in card.read_text()


def test_another_folder_by_output_works_where_one_is_taken(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(DistilledError, match="name another folder by --output"):
        export_set(folder, "dd-ranking", tmp_path / "taken")
    assert export_set(folder, "dd-ranking", tmp_path / "free")[0] == tmp_path / "free"
    with pytest.raises(DistilledError, match="name another by --output"):
        check_output(tmp_path / "taken" / "mine.txt")
    check_output(tmp_path / "study")


def test_the_demo_runs_once_what_was_there_is_moved_away(tmp_path: Path) -> None:
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="move it away"):
        demo._empty(foreign)
    foreign.rename(tmp_path / "elsewhere")
    assert demo._empty(foreign).is_dir()
    assert (tmp_path / "elsewhere" / "thesis.tex").is_file()


def test_a_member_begun_with_other_threads_is_trained_anew_once_its_file_is_removed(
    source: Source, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    recipe = load_pipeline("digits", preset="cpu").recipe.pool.model_copy(
        update={"backbone": "convnet-d3-w8-instance-relu-avg", "size": 1, "epochs": 2, "batch_size": 16}
    )
    updates = len(source.train.labels) // 16
    with pytest.raises(Stopped):
        get_pool(source, False, recipe, engine, StopAfter(updates))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(PoolError, match=f"OMP_NUM_THREADS={threads}, or remove that file") as refused:
            get_pool(source, False, recipe, engine)
        Path(str(refused.value).split(" was begun with")[0]).unlink()
        assert len(get_pool(source, False, recipe, engine).members) == 1
    finally:
        torch.set_num_threads(threads)


def test_a_copied_pipeline_is_what_dataset_takes(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    told = CliRunner().invoke(main, ["pipelines", "copy", "digits", str(file)])
    assert f"ncfm-hub distill --dataset {file} --ipc 10" in told.stderr
    assert load_pipeline(file, preset="cpu").recipe == load_pipeline("digits", preset="cpu").recipe
