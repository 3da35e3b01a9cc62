"""`--dataset` with the pipeline.yaml of a finished dataset: the same recipe on the same source."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ncfm_hub.errors import DistilledError, NcfmHubError, PipelineError
from ncfm_hub.planning.recorded import recorded_pipeline, resolve_named
from ncfm_hub.publishing.hub.push import push_folder
from ncfm_hub.recipes.resolve import load_pipeline
from tests.conftest import LiveHub
from tests.publishing.conftest import Notes
from tests.publishing.conftest import here as here  # a fixture
from tests.publishing.noise_sets import noise_set, write_folder

REVISION = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pipeline.yaml of a dataset of noise; what it says of provenance beside the recipe is unknown to recipes."""
    defaults = tmp_path / "defaults.yaml"
    defaults.write_text("distillation: {steps: 7}\n")
    monkeypatch.setenv("NCFM_HUB_CONFIG", str(defaults))  # a record is complete, whatever a user's defaults are
    return write_folder(tmp_path / "set", noise_set()) / "ipc2" / "pipeline.yaml"


def change(record: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    content = yaml.safe_load(record.read_text())
    alter(content)
    record.write_text(yaml.safe_dump(content, sort_keys=False))


def test_a_record_is_its_recipe_at_its_source_revision(record: Path) -> None:
    change(record, lambda d: d.update(seed=3, unknown={"of": ["another", "version"]}))
    for named in (record, str(record)):
        found = resolve_named(named, None, {"evaluation.students": 2}, None)
        recipe = found.recipe
        assert (recipe.source.dataset, recipe.source.revision) == ("hf://datasets/some/insects", REVISION)
        assert (recipe.distillation.ipc, recipe.distillation.seed, recipe.distillation.steps) == (2, 3, 500)
        assert recipe.evaluation.students == 2
        assert (found.name, found.preset) == ("insects", "cpu")
        assert found.described_by == (str(record), "command line")


def test_the_file_may_have_any_name_and_other_files_are_pipelines_as_ever(record: Path, tmp_path: Path) -> None:
    renamed = record.rename(tmp_path / "mine.yml")
    assert resolve_named(renamed, None, {}, None).recipe.distillation.ipc == 2
    own = tmp_path / "pipeline.yaml"
    own.write_text("source: {dataset: a/b}\n")
    assert resolve_named(own, "cpu", {}, None) == load_pipeline(own, preset="cpu")
    assert resolve_named("digits", "cpu", {}, None) == load_pipeline("digits", preset="cpu")
    own.write_text("a: [")
    with pytest.raises(PipelineError, match="line"):
        resolve_named(own, None, {}, None)
    with pytest.raises(PipelineError, match="there is no such file"):
        resolve_named(tmp_path / "none.yaml", None, {}, None)


def test_weights_of_the_hub_are_those_that_the_pool_started_from(record: Path) -> None:
    pinned = f"hf-hub:ada/weights@{'a' * 40}"
    change(record, lambda d: d["recipe"]["pool"].update(pretrained="hf-hub:ada/weights"))
    change(record, lambda d: d.update(pool={"pretrained": pinned, "trained_by_this_recipe": True}))
    assert recorded_pipeline(record, {}).recipe.pool.pretrained == pinned
    change(record, lambda d: d["pool"].update(trained_by_this_recipe=False))
    assert recorded_pipeline(record, {}).recipe.pool.pretrained == "hf-hub:ada/weights"


def test_a_preset_beside_a_record_is_refused(record: Path) -> None:
    with pytest.raises(PipelineError, match=r"holds every setting, so --preset has no effect; .* with --set"):
        resolve_named(record, "paper", {}, None)


def test_an_imported_dataset_has_no_recipe(record: Path) -> None:
    change(record, lambda d: d.update(imported={"sha256": "0"}))
    with pytest.raises(DistilledError, match="is of an imported dataset, and the recipe that made it is unknown"):
        resolve_named(record, None, {}, None)


@pytest.mark.parametrize(
    "alter",
    [
        lambda d: d["source"].update(dataset="/etc"),
        lambda d: d["source"].update(dataset="../../etc", is_local=True),
        lambda d: d["recipe"]["source"].update(resolution=10**6),
        lambda d: d["recipe"]["evaluation"].update(architectures=["resnet10t"] * 10**4),
        lambda d: d.update(ipc=10**12),
        lambda d: d.update(seed=-1),
        lambda d: d.update(seed=True, ipc="many"),
        lambda d: d.update(recipe={}),
        lambda d: d["recipe"].update(more={}),
        lambda d: d.update(name="../../x" * 100, preset=["\x1b[31m"]),
    ],
)
def test_hostile_values_are_bounded_or_one_line(record: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    change(record, alter)
    try:
        found = resolve_named(record, None, {}, None)
    except NcfmHubError as error:
        said = str(error)
    else:
        assert not Path(found.recipe.source.dataset).is_absolute()
        assert ".." not in found.recipe.source.dataset + found.name
        assert len(found.name) <= 60
        assert "\x1b" not in found.preset
        return
    assert "\n" not in said
    assert str(record) in said


@pytest.mark.slow
def test_a_file_that_expands_beyond_memory_is_one_line(record: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(10))}]\n" for n in range(1, 9)
    )
    record.write_text(record.read_text() + bomb)
    with pytest.raises(PipelineError, match="aliases"):
        resolve_named(record, None, {}, None)


def test_a_dataset_on_the_hub_is_named_with_its_revision(
    record: Path,
    hub: LiveHub,
    here: Notes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    pushed = push_folder(record.parents[1], "ada/insects", progress=here)
    for revision in ("main", pushed.revision):
        found = resolve_named(f"ada/insects/ipc2@{revision}", None, {}, None)
        assert found.recipe == recorded_pipeline(record, {}).recipe
    with pytest.raises(DistilledError, match="holds no distilled dataset 'ipc9'"):
        resolve_named("ada/insects/ipc9@main", None, {}, None)
    with pytest.raises(PipelineError, match=r"there is no folder \./ada/insects@main"):
        resolve_named(Path("ada/insects@main"), None, {}, None)
