"""A complete small run on the packaged digits: files, resuming, evaluating again."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ncfm_hub import api as run
from ncfm_hub.distillation.start import make_start
from ncfm_hub.errors import CheckpointError, DistilledError, NcfmHubError, PipelineError, PoolError, ReplaceNeeded
from ncfm_hub.evaluation import table
from ncfm_hub.evaluation.baselines import random_images
from ncfm_hub.evaluation.batches import one_hot
from ncfm_hub.evaluation.protocol import Row
from ncfm_hub.extractors.finding import find_pool
from ncfm_hub.extractors.soft_labels import soft_labels
from ncfm_hub.machine.engine import open_engine
from ncfm_hub.matching.characteristic import ncfd_floor
from ncfm_hub.publishing import decode_stored, load_distilled, to_pixels
from ncfm_hub.publishing.dataset.provenance import recipe_of
from ncfm_hub.recipes.resolve import change_evaluation, load_pipeline
from ncfm_hub.recipes.schema import PoolRecipe, Recipe
from ncfm_hub.sources import inspect_source, load_source
from tests.stopping import StopIn, Stopped

pytestmark = pytest.mark.slow  # whole runs

CLASSES = [3, 0, 1, 2]  # of the digits, in an order of our own
COUNT = 183 + 178 + 182 + 177  # images of them in scikit-learn's set, which is split into training and test
SMALL = {
    "source.classes": CLASSES,
    "pool.backbone": "convnet-d3-w32-instance-relu-avg",
    "pool.size": 1,
    "pool.epochs": 1,
    "distillation.steps": 3,
    "distillation.checkpoint_every": 2,
    "distillation.frequencies": 32,
    "distillation.real_batch": 8,
    "evaluation.students": 0,
    "evaluation.updates": 2,
    "evaluation.baselines": ["random", "start"],
    "engine.precision": "fp32",
    "engine.compile": "off",
}
MEASURED = SMALL | {"evaluation.students": 2}


Distill = Callable[..., run.Run]


@pytest.fixture(scope="module")
def distill(home: Path) -> Distill:
    def distill(folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> run.Run:
        overrides = SMALL | (changes or {})
        return run.distill("digits", 2, preset="cpu", overrides=overrides, output=folder, **options)

    return distill


@pytest.fixture(scope="module")
def finished(distill: Distill, home: Path) -> run.Run:
    """A measured run, never stopped."""
    return distill(home / "finished", MEASURED)


def test_the_folder_says_what_was_done(finished: run.Run) -> None:
    folder = finished.set_folder
    described = yaml.safe_load((folder / "pipeline.yaml").read_text())
    assert (described["name"], described["preset"], described["ipc"], described["seed"]) == ("digits", "cpu", 2, 0)
    recipe = Recipe.model_validate(described["recipe"])
    assert recipe.distillation.steps == 3
    assert recipe.evaluation.students == 2
    assert described["source"]["class_names"] == ["3", "0", "1", "2"]
    assert described["source"]["class_ids"] == CLASSES
    assert described["source"]["train_count"] + described["source"]["test_count"] == COUNT
    assert described["machine"]["precision"] == "fp32"
    assert described["machine"]["compile"] is False
    assert described["pool"]["origin"] == "trained here"
    assert set(described["wall_time_seconds"]) == {"source", "pool", "distill", "labels", "evaluate", "total"}
    assert (finished.folder, finished.name) == (folder.parent, "ipc2")
    assert (finished.folder / "README.md").stat().st_size > 0
    for name in ("results.json", "preview.png", "distilled.safetensors"):
        assert (folder / name).stat().st_size > 0
    assert json.loads((folder / "results.json").read_text()) == finished.results
    assert finished.pushed is None


def test_results_are_rows_under_one_recipe(finished: run.Run) -> None:
    results = finished.results
    assert [(row["set"], row["labels"]) for row in results["rows"]] == [
        ("random", "hard"),
        ("random", "soft"),
        ("start", "hard"),
        ("distilled", "hard"),
        ("distilled", "soft"),
    ]
    assert [row["images"] for row in results["rows"]] == [8, 8, 32, 32, 32]
    assert all(len(row["per_class"]) == 4 for row in results["rows"])
    assert all(row["stored_images"] == 8 for row in results["rows"])
    assert all(row["accuracy"]["n"] == 2 for row in results["rows"])
    protocol = results["protocol"]
    assert protocol["metric"] == "top-1 accuracy in percent at the last epoch"
    assert (protocol["split"], protocol["updates"]) == ("test", 2)
    assert protocol["test_images"] == pytest.approx(COUNT * 360 / 1797, abs=2)  # stratified
    distillation = results["distillation"]
    assert distillation["steps"] == 3
    assert distillation["calibration"] == 5.0
    first = distillation["first"]
    assert first["loss"] == pytest.approx(first["ncfd"] + 5 * first["calibration"], abs=1e-3)
    assert distillation["curve"][0] == [0, first["loss"]]
    assert distillation["floor"] == pytest.approx(300 * 0.886227 * ((1 / 8 + 1 / 8) / 2) ** 0.5, abs=0.01)
    assert list(results["pool"]["members"][0]["accuracy"]) == ["0.0", "0.25", "0.5", "0.75", "1.0"]


def test_rows_are_what_their_names_say(finished: run.Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Row] = []

    def listen(rows: list[Row], *_: Any, **__: Any) -> list[dict[str, Any]]:
        given.extend(rows)
        return []

    monkeypatch.setattr(table, "measure", listen)
    run.evaluate(finished.folder, overrides={"evaluation.baselines": ["whole", "start", "random"]})
    described = yaml.safe_load((finished.set_folder / "pipeline.yaml").read_text())
    source = load_source(Recipe.model_validate(described["recipe"]).source)
    distilled = load_distilled(finished.folder)
    start = decode_stored((make_start(source, 2, 2, 0) * 255).round().to(torch.uint8), 2)
    random = random_images(source, 2, 0)
    hard = torch.eye(4)
    pool = find_pool(str(home / "cache" / "pools" / described["pool"]["key"]))
    labelled = soft_labels(random.images, pool, open_engine("fp32", "off"))
    expected = {
        ("random", "hard"): (random.images, hard[random.labels]),
        ("random", "soft"): (random.images, labelled),
        ("start", "hard"): (start, hard[distilled.labels]),
        ("distilled", "hard"): (distilled.images, hard[distilled.labels]),
        ("distilled", "soft"): (distilled.images, distilled.soft_labels),
        ("whole", "hard"): (source.train.images, hard[source.train.labels]),
    }
    assert [(row.name, row.labels) for row in given] == list(expected)
    for row, (images, targets) in zip(given, expected.values(), strict=True):
        assert torch.equal(row.training.images, images), row.name
        found = one_hot(row.training.labels, 4) if row.training.targets is None else row.training.targets
        assert torch.equal(found, targets), row.name
    assert [row.stored_images for row in given] == [8, 8, 8, 8, 8, len(source.train.labels)]


def test_what_is_on_disk_is_decoded_labelled_and_rounded_once(finished: run.Run, home: Path) -> None:
    distilled = load_distilled(finished.folder)
    assert distilled.stored.shape == (8, 1, 16, 16)
    assert torch.equal(distilled.images, decode_stored(distilled.stored, 2))
    assert distilled.labels.tolist() == [label for label in range(4) for _ in range(8)]
    assert distilled.stored_index.tolist() == [number for number in range(8) for _ in range(4)]
    assert distilled.tile.tolist() == [0, 1, 2, 3] * 8
    described = yaml.safe_load((finished.set_folder / "pipeline.yaml").read_text())
    pool = find_pool(str(home / "cache" / "pools" / described["pool"]["key"]))
    assert torch.equal(distilled.soft_labels, soft_labels(distilled.images, pool, open_engine("fp32", "off")))


@pytest.mark.parametrize(("stage", "units"), [("distilling", 2), ("evaluating", 5)])
def test_a_run_stopped_and_resumed_ends_alike(
    distill: Distill, finished: run.Run, tmp_path: Path, stage: str, units: int
) -> None:
    """Stopped behind the checkpoint of step 2, or between two students of the table."""
    once = SMALL | {"evaluation.students": 1}
    with pytest.raises(Stopped):
        distill(tmp_path / "run", once, progress=StopIn(stage, units))
    assert not (tmp_path / "run" / "ipc2" / "results.json").exists()
    made = distill(tmp_path / "run", once, resume=True)
    for name in ("distilled.safetensors", "data/train-00000-of-00001.parquet"):
        assert (made.set_folder / name).read_bytes() == (finished.set_folder / name).read_bytes()
    for row, expected in zip(made.results["rows"], finished.results["rows"], strict=True):
        assert row["accuracy"]["values"] == expected["accuracy"]["values"][:1]
    assert made.results["distillation"]["curve"] == finished.results["distillation"]["curve"]


def test_times_of_a_resumed_run_cover_what_was_done_before(distill: Distill, tmp_path: Path) -> None:
    first = distill(tmp_path / "run")
    again = distill(tmp_path / "run", resume=True)
    seconds = [one.results["distillation"]["seconds_per_step"] for one in (first, again)]
    assert seconds[0] > 0
    assert seconds[1] == pytest.approx(seconds[0], rel=0.2)
    wall_time = yaml.safe_load((tmp_path / "run" / "ipc2" / "pipeline.yaml").read_text())["wall_time_seconds"]
    assert wall_time["total"] >= wall_time["distill"] > 0


def test_a_resumed_run_of_other_settings_stops(distill: Distill, finished: run.Run, tmp_path: Path) -> None:
    distill(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"distillation\.seed = 0, this run has 1"):
        distill(tmp_path / "run", resume=True, seed=1)
    with pytest.raises(CheckpointError, match=r"distillation\.alpha"):
        distill(tmp_path / "run", {"distillation.alpha": 0.25}, resume=True)
    with pytest.raises(ReplaceNeeded, match=r"run' holds ipc2 already; .*--name.*--output.*--replace"):
        distill(tmp_path / "run")


def test_without_a_number_of_images_there_is_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    info = replace(inspect_source(load_pipeline("digits", preset="cpu").recipe.source), train_examples=None)
    monkeypatch.setattr("ncfm_hub.planning.plan.inspect_source", lambda *_, **__: info)
    plan = run.plan("digits", 1, preset="cpu", overrides=SMALL)
    assert set(plan.cost.values()) == {None}
    assert "estimate   unknown: the source does not state its number of images" in plan.lines()


def test_without_memory_to_time_a_step_there_is_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: Any) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90.00 GiB.")

    monkeypatch.setattr("ncfm_hub.planning.cost.real_rate", too_large)
    plan = run.plan("digits", 1, preset="cpu", overrides=SMALL)
    assert set(plan.cost.values()) == {None}
    assert "estimate   unknown: there is too little memory to time a step" in plan.lines()


def test_what_takes_hours_is_said_before_it_starts(finished: run.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncfm_hub.planning.cost.trained_rate", lambda *_: 1e-2)
    measuring, training = StopIn("evaluating", 0), StopIn("pretraining", 0)
    with pytest.raises(Stopped):
        run.evaluate(finished.folder, progress=measuring)
    with pytest.raises(Stopped):
        run.pretrain("digits", preset="cpu", overrides=SMALL | {"pool.seed": 7}, progress=training)
    (said,) = (note for note in measuring.notes if "hours on this machine" in note)
    assert said.endswith("to shorten it: --preset cpu, --students N, --set evaluation.updates=N")
    (said,) = (note for note in training.notes if "hours on this machine" in note)
    assert said.endswith("to shorten it: --preset cpu, --set pool.size=N, --set pool.epochs=N")
    in_cache = StopIn("pretraining", 0)
    run.pretrain("digits", preset="cpu", overrides=SMALL, progress=in_cache)
    assert not any("hours on this machine" in note for note in in_cache.notes)


def test_seed_and_ipc_use_the_pool_of_the_cache(
    distill: Distill, finished: run.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pool was trained")

    monkeypatch.setattr("ncfm_hub.extractors.members.train_members", refuse)
    other = distill(tmp_path / "seed", seed=1)
    described = yaml.safe_load((other.set_folder / "pipeline.yaml").read_text())
    assert described["pool"]["origin"] == "cache"
    assert described["seed"] == 1
    first = load_distilled(finished.folder)
    assert not torch.equal(load_distilled(other.folder).stored, first.stored)
    more = run.distill("digits", 1, preset="cpu", overrides=SMALL, output=tmp_path / "one")
    assert len(load_distilled(more.folder).stored) == 4
    assert run.plan("digits", 1, preset="cpu", overrides=SMALL).pool["cached"] is True


def test_validation_never_reads_the_test_split(distill: Distill, finished: run.Run, tmp_path: Path) -> None:
    made = distill(tmp_path / "run", {"evaluation.students": 1, "evaluation.soft_labels": False}, validation=True)
    assert made.results["protocol"]["split"] == "validation part of train"
    described = yaml.safe_load((made.set_folder / "pipeline.yaml").read_text())
    whole = yaml.safe_load((finished.set_folder / "pipeline.yaml").read_text())["source"]["train_count"]
    assert made.results["protocol"]["test_images"] == round(0.1 * whole)
    assert described["source"]["train_count"] == whole - round(0.1 * whole)
    assert described["pool"]["origin"] == "trained here"  # on fewer images than the pool of whole runs


def test_a_published_set_is_measured_anew_with_the_same_numbers(finished: run.Run) -> None:
    measured = run.evaluate(finished.folder, again=True)
    assert [row["accuracy"] for row in measured["rows"]] == [row["accuracy"] for row in finished.results["rows"]]
    changes = {"evaluation.students": 1, "evaluation.updates": 3, "evaluation.soft_labels": False}
    more = run.evaluate(finished.folder, overrides=changes)
    assert more["protocol"]["updates"] == 3
    assert [row["accuracy"]["n"] for row in more["rows"]] == [1, 1, 1]


def altered(finished: run.Run, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a result whose pipeline.yaml says something else."""
    shutil.copytree(finished.folder, folder)
    described = yaml.safe_load((folder / "ipc2" / "pipeline.yaml").read_text())
    change(described)
    (folder / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["recipe"]["source"].update(classes=[3, 0, 1, 4]), "classes 3, 0, 1, 2; its source .* 3, 0, 1, 4"),
        (lambda d: d["recipe"]["source"].update(classes=[3, 0, 1]), "its source .* gives 3, 0, 1"),
        (lambda d: d.pop("seed"), "gives no seed"),
        (lambda d: d.update(seed="zero"), "gives no seed"),
        (lambda d: d.pop("source"), "no usable recipe"),
        (lambda d: d.update(recipe=[]), "`recipe` is a list; expected keys and values"),
        (lambda d: d["recipe"]["evaluation"].update(updates="many"), "no usable recipe"),
    ],
)
def test_a_set_that_does_not_fit_its_source_is_not_measured(
    finished: run.Run, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    folder = altered(finished, tmp_path / "altered", change)
    with pytest.raises(DistilledError, match=message) as raised:
        run.evaluate(folder)
    assert "\n" not in str(raised.value)


def test_the_floor_is_that_of_the_images_there_are(distill: Distill, finished: run.Run, tmp_path: Path) -> None:
    """A batch of 1,000 asked for; classes of some 145."""
    made = distill(tmp_path / "run", {"distillation.real_batch": 1000, "distillation.steps": 1})
    described = yaml.safe_load((made.set_folder / "pipeline.yaml").read_text())
    typical = described["source"]["train_count"] / 4
    expected = 300 * 0.886227 * ((1 / typical + 1 / 8) / 2) ** 0.5
    assert made.results["distillation"]["floor"] == pytest.approx(expected, abs=0.05)
    changes = {"distillation.real_batch": 1000, "distillation.steps": 1, "distillation.alpha": 1.0}
    amplitudes = distill(tmp_path / "amplitudes", changes).results["distillation"]["floor"]
    assert amplitudes == pytest.approx(300 * ncfd_floor(round(typical), 8, 1.0), abs=0.05)
    assert amplitudes > 1.05 * expected  # at these counts


def test_a_pool_given_by_place_must_fit(distill: Distill, finished: run.Run, home: Path, tmp_path: Path) -> None:
    described = yaml.safe_load((finished.set_folder / "pipeline.yaml").read_text())
    place = str(home / "cache" / "pools" / described["pool"]["key"])
    made = distill(tmp_path / "run", pool=place)
    assert yaml.safe_load((made.set_folder / "pipeline.yaml").read_text())["pool"]["origin"] == Path(place).name
    assert torch.equal(load_distilled(made.folder).stored, load_distilled(finished.folder).stored)
    with pytest.raises(PoolError, match="other classes"):
        distill(tmp_path / "other", {"source.classes": [1, 4]}, pool=place)
    with pytest.raises(PoolError, match="expected a folder or a Hub model repository"):
        distill(tmp_path / "none", pool="nowhere at all")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distillation.factor": 3}, "factor 3 does not divide .* 16"),
        (
            {"distillation.sampling_network": True, "distillation.frequencies": 40},
            "frequencies 40 is no multiple of 16",
        ),
        (
            {"distillation.sampling_network": True, "distillation.bank": 100},
            "distillation.bank 100 .* distillation.sampling_network",
        ),
        (
            {"distillation.sampling_network": True, "distillation.matching": "mean"},
            "distillation.matching 'mean' .* distillation.sampling_network",
        ),
        ({"pool.backbone": "inception_v3"}, "'inception_v3' cannot be used on 16 px"),
    ],
    ids=["factor", "frequencies", "bank", "mean", "backbone"],
)
def test_values_that_cannot_work_are_refused_before_any_training(
    distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pool was trained")

    monkeypatch.setattr("ncfm_hub.extractors.members.train_members", refuse)
    with pytest.raises(NcfmHubError, match=message) as raised:
        distill(tmp_path / "run", changes)
    assert "\n" not in str(raised.value)


def test_ipc_and_seed_are_settings_like_others(home: Path, tmp_path: Path) -> None:
    """Of a pipeline file, of an override, of an argument: the later wins."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        "source: {dataset: '{user}/digits', resolution: 16, channels: 1}\ndistillation: {ipc: 3, seed: 5}\n"
    )
    options: dict[str, Any] = {"preset": "cpu", "overrides": {}}
    planned = run.plan(file, **options)
    assert (planned.as_dict()["ipc"], planned.as_dict()["seed"], planned.output) == (3, 5, Path("mine-ncfm"))
    options["overrides"] = {"distillation.ipc": 2, "distillation.seed": 6}
    planned = run.plan(file, **options)
    assert (planned.as_dict()["ipc"], planned.as_dict()["seed"]) == (2, 6)
    planned = run.plan(file, np.int64(1), seed=0, **options)
    assert (planned.as_dict()["ipc"], planned.as_dict()["seed"]) == (1, 0)


def test_a_run_without_an_ipc_is_told_where_to_give_one(home: Path) -> None:
    with pytest.raises(PipelineError, match=r"--ipc.*`ipc` in the section `distillation`"):
        run.plan("digits", preset="cpu")


def test_pipeline_yaml_says_ipc_and_seed_once(finished: run.Run) -> None:
    """Beside the recipe, where earlier versions look for them, and not in it, where they know no such key."""
    described = yaml.safe_load((finished.set_folder / "pipeline.yaml").read_text())
    assert not {"ipc", "seed"} & set(described["recipe"]["distillation"])
    recipe = recipe_of(described, finished.set_folder / "pipeline.yaml")
    assert (recipe.distillation.ipc, recipe.distillation.seed) == (2, 0)


@pytest.mark.parametrize("ipc", [0, -1])
def test_ipc_is_positive(home: Path, ipc: int) -> None:
    with pytest.raises(PipelineError, match="at least 1"):
        run.plan("digits", ipc, preset="cpu")


def test_rounding_to_eight_bits_is_to_the_nearest() -> None:
    values = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 100.4 / 255, 100.6 / 255, 1.0])
    assert to_pixels(values).tolist() == [0, 0, 1, 100, 101, 255]
    assert to_pixels(torch.arange(256) / 255).tolist() == list(range(256))


def test_pretrain_gives_the_pool_that_distill_uses(finished: run.Run, tmp_path: Path) -> None:
    described = yaml.safe_load((finished.set_folder / "pipeline.yaml").read_text())
    made = run.pretrain("digits", preset="cpu", overrides=SMALL, output=tmp_path / "pool")
    assert made.key == described["pool"]["key"]
    assert made.members == 1
    copied = find_pool(str(tmp_path / "pool"))
    assert copied.key == made.key
    assert PoolRecipe.model_validate(json.loads((tmp_path / "pool" / "pool.json").read_text())["recipe"]).size == 1
    assert not [path.name for path in (tmp_path / "pool").iterdir() if path.name.startswith(".")]


def test_a_finished_set_is_measured_by_another_preset_but_never_remade(finished: run.Run) -> None:
    described = yaml.safe_load((finished.set_folder / "pipeline.yaml").read_text())
    recipe = Recipe.model_validate(described["recipe"])
    changed = change_evaluation(recipe, "paper", {"evaluation.students": 7})
    assert (changed.evaluation.epochs, changed.evaluation.updates, changed.evaluation.students) == (2000, None, 7)
    assert changed.distillation == recipe.distillation
    with pytest.raises(PipelineError, match="distillation"):
        run.evaluate(finished.folder, overrides={"distillation.steps": 3})
