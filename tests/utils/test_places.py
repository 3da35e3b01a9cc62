"""Local folders: in no published file, found again on this machine, and never opened for third parties."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import ClassLabel, Dataset, Features, Image

from ncfm_hub import api as run
from ncfm_hub.errors import DistilledError, NcfmHubError, PipelineError, PoolError, SourceError
from ncfm_hub.evaluation.continual.study import continual
from ncfm_hub.evaluation.opening import SubjectOptions, open_subject
from ncfm_hub.evaluation.search.candidates import Budget
from ncfm_hub.evaluation.search.report import write_search
from ncfm_hub.evaluation.search.study import search_architectures
from ncfm_hub.publishing.dataset.provenance import recipe_of
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.recipes.files import SECTIONS
from ncfm_hub.recipes.resolve import load_pipeline
from tests.sources.small_images import plain_image

pytestmark = pytest.mark.slow  # whole runs

NAMES = ["ant", "bee", "cat"]
SMALL = {
    "source.resolution": 16,
    "pool.size": 1,
    "pool.epochs": 1,
    "distillation.steps": 1,
    "distillation.frequencies": 32,
    "distillation.real_batch": 8,
    "evaluation.students": 1,
    "evaluation.updates": 1,
    "evaluation.baselines": ["herding"],
    "evaluation.soft_labels": False,
    "engine.precision": "fp32",
    "engine.compile": "off",
}


def make_source(folder: Path) -> Path:
    """Three classes of twelve images, and a split `validation` of as many, which stands in for the test split."""
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES)})
    for split, shift in (("train", 0), ("validation", 3)):
        rows = [{"image": {"bytes": plain_image(5 * n + shift), "path": None}, "label": n % 3} for n in range(36)]
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows, features=features).to_parquet(path)
    return folder


class Made:
    """A dataset with everything that a user can name by a path: source, weights, pool, the dataset appended to."""

    def __init__(self, root: Path):
        self.root = root
        self.source = make_source(root / "private" / "insects")
        self.weights = self.pretrain("first", {})
        self.from_weights = {"pool.pretrained": f"local-dir:{self.weights}"}
        self.pool = self.pretrain("pool", self.from_weights)
        smaller = self.distill("smaller", ["ant", "bee"], preset="cpu")
        self.set = self.distill("set", ["cat"], append=str(smaller)) / "ipc1"

    def pretrain(self, name: str, changes: dict[str, Any]) -> Path:
        place = self.root / "private" / name
        return run.pretrain(str(self.source), preset="cpu", overrides=SMALL | changes, output=place).folder

    def distill(self, name: str, classes: list[str], **more: Any) -> Path:
        changes = SMALL | self.from_weights | {"source.classes": classes}
        place = self.root / "private" / name
        return run.distill(str(self.source), 1, overrides=changes, pool=str(self.pool), output=place, **more).folder


@pytest.fixture(scope="module")
def made(home: Path) -> Made:
    return Made(home)


def published(folder: Path) -> list[Path]:
    """What a push takes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def test_no_published_file_holds_a_path(made: Made) -> None:
    run.evaluate(made.set, update=True)
    continual(str(made.set), steps=2, orders=1, memories=["distilled"], output=made.set)
    search = search_architectures(
        str(made.set), architectures=["convnet-d3-w32-instance-relu-avg"], budget=Budget(1, 1)
    )
    write_search(made.set, search)
    files = [*published(made.set.parent), *published(made.pool), *published(made.root / "cache" / "pools")]
    assert {"README.md", "pipeline.yaml", "results.json", "continual.json", "nas.json", "pool.json"} <= {
        path.name for path in files
    }
    for path in files:
        content = path.read_bytes()
        for private in (str(made.root), "private", "home0"):
            assert private.encode() not in content, f"{private} in {path}"


def test_a_name_and_a_digest_stand_for_it(made: Made) -> None:
    described = read_pipeline(made.set)
    assert described["recipe"]["source"]["dataset"] == described["source"]["dataset"] == "insects"
    assert described["source"]["content"].startswith("sha256:")
    assert described["source"]["notes"][0].startswith("insects has no split 'test'")
    weights = described["recipe"]["pool"]["pretrained"]
    assert weights.startswith("local-weights:first@sha256:")
    assert described["pool"]["pretrained"] == weights
    assert described["pool"]["origin"] == "pool"
    assert described["added_to"] == "smaller"
    pool = json.loads((made.pool / "pool.json").read_text())
    assert (pool["source"]["dataset"], pool["pretrained"], pool["recipe"]["pretrained"]) == (
        "insects",
        weights,
        weights,
    )
    assert "`insects` (a local folder)" in (made.set.parent / "README.md").read_text()


def test_on_this_machine_it_is_found_again(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(made.set, tmp_path / "copy")
    before = json.loads((made.set / "results.json").read_text())
    assert run.evaluate(copy)["rows"] == before["rows"]  # with the extractors for herding
    subject = open_subject(str(copy))
    assert subject.extractors().digest == read_pipeline(copy)["pool"]["digest"]
    assert subject.recipe.pool.pretrained == f"local-dir:{made.weights}"


def test_weights_are_the_same_wherever_they_lie(made: Made, tmp_path: Path) -> None:
    moved = shutil.copytree(made.weights, tmp_path / "first")
    changes = SMALL | {"pool.pretrained": f"local-dir:{moved}"}
    assert run.plan(str(made.source), 1, preset="cpu", overrides=changes).pool["cached"] is True


def test_elsewhere_the_source_is_to_be_named(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache of another"))
    monkeypatch.chdir(made.source.parent)  # where a folder `insects` lies
    with pytest.raises(SourceError, match=r"'insects' is a folder on another machine.*--source"):
        run.evaluate(made.set)
    subject = open_subject(made.set, SubjectOptions(made.source))
    assert subject.source.fingerprint == read_pipeline(made.set)["source"]["fingerprint"]
    assert not subject.has_extractors()  # nor those in the folder `pool` here
    with pytest.raises(PoolError, match="in 'pool', which is not here; name a pool with --pool"):
        subject.extractors()


def altered(folder: Path, place: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    shutil.copytree(folder, place)
    described = yaml.safe_load((place / "pipeline.yaml").read_text())
    change(described)
    (place / "pipeline.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    return place


def on_a_hub(dataset: str) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["source"].update(is_local=False, dataset=dataset, revision=None)


@pytest.mark.parametrize(
    "path", ["{source}", "./insects", "insects", "~/insects", "{user}/insects", "../private/insects", "file://{source}"]
)
def test_no_path_in_a_strangers_pipeline_is_opened(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(made.source.parent)
    monkeypatch.setenv("HOME", str(made.source.parent))
    monkeypatch.setattr("ncfm_hub.sources.place._folder", lambda *_: pytest.fail("a folder was opened"))
    monkeypatch.setattr("ncfm_hub.sources.place.pin", refuse)
    path = path.replace("{source}", str(made.source))

    def local(d: dict[str, Any]) -> None:
        d["source"].update(dataset=path, content="sha256:" + "0" * 64)
        d["recipe"]["source"]["dataset"] = path

    for number, change in enumerate((local, on_a_hub(path))):
        stranger = altered(made.set, tmp_path / str(number), change)
        for study in (run.evaluate, lambda it: continual(str(it)), lambda it: search_architectures(str(it))):
            with pytest.raises(NcfmHubError, match=r"--source|is no Hub id|asked of the Hub") as raised:
                study(stranger)
            assert "\n" not in str(raised.value)


def refuse(*_: Any) -> None:
    raise SourceError("asked of the Hub")


@pytest.mark.parametrize("form", ["local-dir:{0}", "LOCAL-DIR:{0}", "{0}", "file:{0}"])
def test_no_weights_that_a_stranger_names_are_opened(made: Made, tmp_path: Path, form: str) -> None:
    def change(d: dict[str, Any]) -> None:
        d["recipe"]["pool"]["pretrained"] = form.format(made.weights)
        d["pool"]["origin"] = "trained here"

    stranger = open_subject(str(altered(made.set, tmp_path / "stranger", change)))
    assert stranger.recipe.pool.pretrained == "local-weights:first"
    assert not stranger.has_extractors()
    with pytest.raises(PoolError, match=r"in 'first' on another machine.*name a pool with --pool"):
        stranger.extractors()
    pool = altered(made.set, tmp_path / "pool", lambda d: d["pool"].update(origin=str(made.pool), digest="0" * 64))
    assert not open_subject(str(pool)).has_extractors()


def test_an_import_names_no_path(made: Made, tmp_path: Path) -> None:
    import torch

    from ncfm_hub.publishing.exchange.imports import import_set

    file = tmp_path / "theirs.pt"
    torch.save((torch.rand(3, 3, 16, 16), torch.arange(3)), file)
    folder = import_set(file, str(made.source), 1, output=tmp_path / "imported", preset="cpu", overrides=SMALL).folder
    for path in published(folder):
        assert str(made.root).encode() not in path.read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()
    assert run.evaluate(folder, overrides={"evaluation.baselines": []})["rows"][0]["set"] == "distilled"


def test_a_broken_recipe_says_which_value(made: Made, tmp_path: Path) -> None:
    stranger = altered(made.set, tmp_path / "broken", lambda d: d["recipe"]["evaluation"].update(updates="many"))
    with pytest.raises(DistilledError, match=r"no usable recipe: `evaluation\.updates` is 'many'"):
        run.evaluate(stranger)


NUMBERS = [
    (section, key)
    for section, model in SECTIONS.items()
    for key, field in model.model_fields.items()
    if "int" in str(field.annotation) or "float" in str(field.annotation)
    if key not in ("channels", "classes")
]


@pytest.mark.parametrize(("section", "key"), NUMBERS, ids=[".".join(pair) for pair in NUMBERS])
def test_no_number_in_a_strangers_recipe_is_without_bounds(section: str, key: str) -> None:
    values = load_pipeline("cifar10", preset="cpu").recipe.model_dump()
    source = {"dataset": "owner/name", "is_local": False, "revision": None}
    described = {"ipc": 1, "seed": 0, "recipe": values, "source": source}
    place = described if (section, key) in (("distillation", "ipc"), ("distillation", "seed")) else values[section]
    place[key] = 10**19 if "int" in str(SECTIONS[section].model_fields[key].annotation) else 1e19
    with pytest.raises(DistilledError, match=rf"no usable recipe: `{section}\.{key}` is .*; expected .* at most"):
        recipe_of(described, Path("set"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source.resolution", 10**4),
        ("pool.size", 10**6),
        ("pool.batch_size", 10**9),
        ("distillation.factor", 10**3),
        ("evaluation.batch_size", 10**9),
        ("evaluation.updates", 10**9),
        ("evaluation.students", 10**6),
        ("evaluation.architectures", ["resnet10t"] * 10**4),
    ],
)
def test_values_that_would_never_end_are_refused(made: Made, tmp_path: Path, key: str, value: Any) -> None:
    section, name = key.split(".")
    stranger = altered(made.set, tmp_path / "stranger", lambda d: d["recipe"][section].update({name: value}))
    for study in (run.evaluate, lambda it: continual(str(it)), lambda it: search_architectures(str(it))):
        with pytest.raises(DistilledError, match=rf"no usable recipe: `{section}\.{name}` is "):
            study(stranger)
    with pytest.raises(DistilledError, match=rf"no usable recipe: `{section}\.{name}` is "):
        run.plan(str(made.source), 1, append=str(stranger), overrides={"source.classes": ["cat"]})


def test_a_source_is_not_read_larger_than_the_set_is(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = altered(made.set, tmp_path / "stranger", lambda d: d["recipe"]["source"].update(resolution=2048))
    monkeypatch.setattr("ncfm_hub.evaluation.opening.load_source", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(DistilledError, match=r"images of \(3, 16, 16\).*reads the source as \(3, 2048, 2048\)"):
        run.evaluate(stranger)


@pytest.mark.parametrize("ipc", [10**6, 10**30])
def test_the_stored_images_of_a_class_are_bounded(made: Made, ipc: int) -> None:
    with pytest.raises(PipelineError, match="at most 100000"):
        run.plan(str(made.source), ipc, preset="cpu", overrides=SMALL)
