"""Pipelines: the thirteen built-in ones, configuration precedence, and a readable line for every mistake."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from ncfm_hub.errors import PipelineError
from ncfm_hub.recipes.resolve import (
    ResolvedPipeline,
    load_pipeline,
    parse_assignment,
    pipeline_description,
    pipeline_names,
    pipeline_path,
)

THIRTEEN = [
    *("cifar10", "cifar100", "digits", "fashion-mnist", "imagefruit", "imagemeow", "imagenette", "imagesquawk"),
    *("imagewoof", "imageyellow", "mnist", "svhn", "tiny-imagenet"),
]


@pytest.fixture(autouse=True)
def no_user_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCFM_HUB_CONFIG", raising=False)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "mine.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def refused(dataset: str | Path, **given: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        load_pipeline(str(dataset), **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_thirteen_pipelines_resolve_under_every_preset() -> None:
    assert pipeline_names() == THIRTEEN
    for name in THIRTEEN:
        assert pipeline_description(name)
        assert pipeline_path(name).is_file()
        for preset in ("gpu", "cpu", "paper"):
            resolved = load_pipeline(name, preset=preset)
            assert (resolved.name, resolved.preset) == (name, preset)
            assert [Path(path).stem for path in resolved.described_by] == ["defaults", name]


def test_sizes_channels_and_mirrors() -> None:
    recipes = {name: load_pipeline(name).recipe.source for name in THIRTEEN}
    grey = {name for name, source in recipes.items() if source.channels == 1}
    assert grey == {"mnist", "fashion-mnist", "digits"}
    assert {name for name, source in recipes.items() if not source.flip} == {"digits", "mnist", "svhn"}
    sizes = {
        "digits": 16,
        "mnist": 28,
        "fashion-mnist": 28,
        "svhn": 32,
        "cifar10": 32,
        "cifar100": 32,
        "tiny-imagenet": 64,
    }
    assert {name: source.resolution for name, source in recipes.items()} == dict.fromkeys(THIRTEEN, 128) | sizes


def test_sources_are_those_of_the_papers_tables(test_data: Path) -> None:
    table = test_data.parent / "paper" / "hub_ids.csv"
    if not table.is_file():
        pytest.skip("no table of Hub ids beside the test data")
    for row in csv.DictReader(table.open()):
        source = load_pipeline(row["pipeline"]).recipe.source
        if row["pipeline"] != "digits":
            assert source.dataset == row["hub_id"]
            assert (source.image_column, source.label_column) == (row["image_column"], row["label_column"])
            assert source.config == (row["config"] or None)
        assert (source.train_split, source.test_split) == (row["train_split"], row["test_split"])
        assert source.resolution == int(row["resolution"])
    subsets: dict[str, list[int]] = {}
    for row in csv.DictReader((table.parent / "imagenet_subsets.csv").open()):
        subsets.setdefault(row["subset"], []).append(int(row["imagenet1k_index"]))
    for name in ("imagefruit", "imagemeow", "imagesquawk", "imageyellow"):
        assert load_pipeline(name).recipe.source.classes == subsets[name]


def test_presets_hold_the_published_and_the_small_values() -> None:
    paper, cpu = (load_pipeline("cifar10", preset=preset).recipe for preset in ("paper", "cpu"))
    assert (paper.pool.size, paper.pool.epochs, paper.pool.optimizer, paper.pool.lr) == (20, 60, "sgd", 0.01)
    assert (paper.distillation.steps, paper.distillation.real_batch, paper.distillation.frequencies) == (
        20_000,
        1024,
        4096,
    )
    assert (paper.evaluation.epochs, paper.evaluation.updates, paper.evaluation.lr) == (2000, None, 1e-3)
    assert (cpu.pool.schedule, cpu.distillation.calibration, cpu.evaluation.epochs) == ("one-cycle", 5.0, None)
    assert (paper.distillation.cutout, cpu.distillation.cutout) == (True, False)
    assert load_pipeline("imagenette", preset="paper").recipe.pool.epochs == 80


@pytest.mark.parametrize(("device", "preset"), [("cpu", "cpu"), ("cuda", "gpu"), ("cuda:1", "gpu"), ("mps", "cpu")])
def test_the_preset_follows_the_device(device: str, preset: str) -> None:
    assert load_pipeline("cifar10", device=device).preset == preset
    assert load_pipeline("cifar10", device=device, preset="cpu").preset == "cpu"
    for asked, expected in (("cpu", "cpu"), ("cuda:0", "gpu"), ("auto", preset)):
        assert load_pipeline("cifar10", device=device, overrides={"engine.device": asked}).preset == expected


def test_the_preset_follows_the_device_of_the_user_s_defaults(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("engine: {device: cpu}")
    assert load_pipeline("cifar10", device="cuda", user_file=own).preset == "cpu"
    again = load_pipeline("cifar10", device="cuda", user_file=own, overrides={"engine.device": "cuda"})
    assert (again.preset, again.recipe.engine.device) == ("gpu", "cuda")


def test_layers_in_order(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer sets its own key and those of all later ones; the last that sets a key wins."""
    keys = ["checkpoint_every", "images_at_once", "steps", "real_batch", "frequencies"]

    def section(value: int, start: int) -> str:
        return "{" + ", ".join(f"{key}: {value}" for key in keys[start:]) + "}"

    pipeline = write(
        f"source: {{dataset: a/b}}\ndistillation: {section(1, 0)}\npresets: {{cpu: {{distillation: {section(2, 1)}}}}}"
    )
    user = write(f"distillation: {section(3, 2)}\npresets: {{cpu: {{distillation: {section(4, 3)}}}}}", "user.yaml")
    given = {"distillation.frequencies": 5}
    resolved = load_pipeline(str(pipeline), user_file=user, overrides=given)
    assert [getattr(resolved.recipe.distillation, key) for key in keys] == [1, 2, 3, 4, 5]
    assert [Path(path).name for path in resolved.described_by] == [
        "defaults.yaml",
        "mine.yaml",
        "user.yaml",
        "command line",
    ]
    monkeypatch.setenv("NCFM_HUB_CONFIG", str(user))
    assert load_pipeline(str(pipeline), overrides=given).recipe == resolved.recipe
    paper = load_pipeline(str(pipeline), preset="paper").recipe.distillation
    assert [getattr(paper, key) for key in keys] == [1, 1, 3, 3, 3]


def test_epochs_and_updates_take_each_other_back(write: Any) -> None:
    evaluation = load_pipeline("cifar10", overrides={"evaluation.epochs": 7}).recipe.evaluation
    assert (evaluation.epochs, evaluation.updates) == (7, None)
    evaluation = load_pipeline("cifar10", preset="paper", overrides={"evaluation.updates": 9}).recipe.evaluation
    assert (evaluation.epochs, evaluation.updates) == (None, 9)
    both = {"evaluation.epochs": 7, "evaluation.updates": 9}
    assert "command line: give `evaluation.updates` or `evaluation.epochs`, not both" in refused(
        "cifar10", overrides=both
    )
    assert "give `evaluation.updates` or" in refused("cifar10", overrides={"evaluation.updates": None})


def test_what_dataset_may_name(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def source_and_name(dataset: str) -> tuple[str, str]:
        resolved: ResolvedPipeline = load_pipeline(dataset)
        return resolved.recipe.source.dataset, resolved.name

    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "My Photos").mkdir()
    assert source_and_name("cifar10") == ("uoft-cs/cifar10", "cifar10")  # a pipeline before a folder of its name
    assert source_and_name("./cifar10") == ("./cifar10", "cifar10")
    assert source_and_name("My Photos") == ("My Photos", "my-photos")
    assert source_and_name("owner/Some_Set.v1") == ("owner/Some_Set.v1", "some_set.v1")
    assert source_and_name(str(write("source: {dataset: a/b}", "Mine.yaml"))) == ("a/b", "mine")
    for folder in ("кошки", "собаки"):
        (tmp_path / folder).mkdir()
    names = {source_and_name(folder)[1] for folder in ("кошки", "собаки")}
    assert len(names) == 2  # and so have folders and repositories of their own by default
    assert all(name.startswith("dataset-") for name in names)
    assert load_pipeline("owner/any").recipe.source.resolution == 32
    assert "did you mean cifar100" in refused("cifar1000")
    assert "did you mean fashion-mnist" in refused("Fashion_MNIST")
    assert "pipelines: cifar10, cifar100" in refused("zzz")
    assert refused("none.yaml") == "none.yaml: there is no such file"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source: {datset: a/b}", "unknown key `source.datset`; did you mean dataset?"),
        ("distilation: {steps: 3}", "unknown key `distilation`; did you mean distillation?"),
        ("presets: {cpu: {pool: {sise: 3}}}", "unknown key `presets.cpu.pool.sise`; did you mean size?"),
        ("presets: {cpi: {}}", "unknown preset `presets.cpi`; did you mean cpu?"),
        ("distillation: {steps: ten}", "`distillation.steps` is 'ten' (text); expected a whole number of at least 1"),
        ("distillation: {steps: 1.5}", "`distillation.steps` is 1.5 (a number); expected a whole number of at least 1"),
        ("distillation: {lr: -1}", "`distillation.lr` is -1 (a whole number); expected a number above 0"),
        ("distillation: {lr: .inf}", "`distillation.lr` is '.inf' (text); expected a number above 0"),
        ("source: {flip: yes}", "`source.flip` is 'yes' (text); expected true or false"),
        ("source: {channels: 2}", "`source.channels` is 2 (a whole number); expected one of 1, 3"),
        ("source: {classes: cat}", "expected a list of (text or a whole number) or nothing (null)"),
        ("pool: {momentum: 2}", "expected a number of at least 0 and at most 1"),
        ("pool: 3", "`pool` is 3 (a whole number); expected keys with values"),
        ("- a", "the file is ['a'] (a list); expected keys with values"),
        ("description: 3", "`description` is 3 (a whole number); expected text"),
        ("", "pipeline 'mine', preset 'cpu': `source.dataset` is missing; expected text"),
        ("source: {dataset: a/b}\nsource: {}", "line 2: `source` is given twice"),
        ("pool: &p {size: 1}\nevaluation: *p", "line 2: aliases (*name) are not allowed"),
        ("source: !!python/object/apply:os.system [ls]", "could not determine a constructor for the tag"),
        ("source: [", "line 1: "),
        ("[" * 3000, "it is nested too deeply"),
        ("description: !!bool x", "not valid YAML"),
        ("a\0b", "not valid YAML"),
    ],
)
def test_mistakes_in_a_file(write: Any, text: str, message: str) -> None:
    path = write(text)
    said = refused(path)
    assert message in said
    assert str(path) in said or "pipeline 'mine'" in said


def test_mistakes_on_the_command_line() -> None:
    assert refused("cifar10", overrides={"distillation.stepz": 1}) == (
        "--set distillation.stepz: unknown key; did you mean steps?"
    )
    assert "--set distil.steps: unknown section; did you mean distillation?" in refused(
        "cifar10", overrides={"distil.steps": 1}
    )
    assert "--set pool.size is true (true or false)" in refused("cifar10", overrides={"pool.size": True})
    assert "is nan (a number)" in refused("cifar10", overrides={"pool.lr": float("nan")})
    assert refused("cifar10", preset="tpu").startswith("unknown preset 'tpu'")
    assert refused("cifar10", overrides={"engine.device": "gpu"}) == (
        "--set engine.device is 'gpu' (text); expected one of auto, cpu, cuda or cuda:N"
    )


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as UTF-8 text" in refused(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").mkdir()
    assert "cannot be read" in refused(tmp_path / "y.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5E2", 500.0),
        (".5", 0.5),
        ("-3", -3),
        ("true", True),
        ("null", None),
        ("", None),
        ("on", "on"),
        ("no", "no"),
        ("1:30", "1:30"),
        ("007", "007"),
        ("2026-01-01", "2026-01-01"),
        ("[cat, 3, 1e2]", ["cat", 3, 100.0]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    key, found = parse_assignment(f"pool.lr={text}")
    assert key == "pool.lr"
    assert found == value
    assert type(found) is type(value)


def test_an_assignment_needs_a_sign() -> None:
    with pytest.raises(PipelineError, match=re.escape("expected section.key=value")):
        parse_assignment("pool.lr")
