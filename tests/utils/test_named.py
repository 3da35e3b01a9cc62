"""The Python API takes names as text or Path, and lists or tuples; results print on one line."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import ncfm_hub
from ncfm_hub.api import PoolResult, Run
from ncfm_hub.evaluation.search.candidates import Budget
from ncfm_hub.publishing.exchange.imports import import_set
from ncfm_hub.utils.named import path_of, text_of, texts_of

pytestmark = pytest.mark.slow  # whole runs

SMALL: dict[str, Any] = {
    "source.classes": ("dog", "cat"),
    "source.resolution": 16,
    "pool.size": 1,
    "pool.epochs": 1,
    "distillation.steps": 1,
    "distillation.frequencies": 16,
    "evaluation.students": 1,
    "evaluation.updates": 1,
    "evaluation.baselines": ("random",),
    "engine.precision": "fp32",
    "engine.compile": "off",
}


@pytest.fixture(scope="module", autouse=True)
def here(home: Path) -> Path:
    """The folder in which users are, with images of theirs in `animals`."""
    draws = torch.Generator().manual_seed(0)
    for number, name in enumerate(("cat", "cow", "dog")):
        for split in ("train", "test"):
            folder = home / "animals" / split / name
            folder.mkdir(parents=True)
            for index in range(4):
                noise = torch.randint(60, (16, 16, 3), generator=draws) + 60 * number
                Image.fromarray(noise.to(torch.uint8).numpy()).save(folder / f"{index}.png")
    return home


@pytest.fixture(autouse=True)
def there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)


@pytest.fixture(scope="module")
def pool(here: Path) -> PoolResult:
    return ncfm_hub.pretrain(here / "animals", preset="cpu", overrides=SMALL, output=str(here / "pool"))


@pytest.fixture(scope="module")
def made(here: Path, pool: PoolResult) -> Run:
    return ncfm_hub.distill(
        here / "animals", 1, preset="cpu", overrides=SMALL, output=str(here / "made"), pool=here / "pool"
    )


def test_a_path_is_a_place_on_this_machine_and_no_name() -> None:
    assert text_of("digits") == "digits"
    assert text_of(Path("digits")) == "./digits"
    assert text_of(Path("owner/name")) == "./owner/name"
    assert text_of(Path("../up")) == "../up"
    assert text_of(Path("/somewhere")) == "/somewhere"
    assert text_of(None) is None
    assert texts_of(Path("a")) == texts_of([Path("a")]) == ["./a"]
    assert texts_of(("a", Path("b"))) == ["a", "./b"]
    assert path_of("~/sets") == Path.home() / "sets"
    Path("digits").mkdir(exist_ok=True)
    assert ncfm_hub.load_pipeline("digits").recipe.source.dataset == "{user}/digits"
    assert ncfm_hub.load_pipeline(Path("digits")).recipe.source.dataset == "./digits"


def test_a_run_takes_paths_and_tuples(made: Run, pool: PoolResult, here: Path) -> None:
    assert pool.folder == here / "pool"
    assert made.folder == here / "made"
    assert ncfm_hub.load_distilled(Path("made")).class_names == ("dog", "cat")
    more = SMALL | {"source.classes": ("cow",)}
    more = {key: more[key] for key in ("source.classes",)}
    with pytest.raises(ncfm_hub.NcfmHubError, match="'cow' of the source not among them"):
        ncfm_hub.distill(Path("animals"), 1, overrides=more, append=Path("made"), pool=Path("pool"), output="larger")


def test_where_a_pool_does_not_fit_leaving_it_out_trains_one(pool: PoolResult) -> None:
    asked = SMALL | {"source.classes": ("cow", "dog")}
    with pytest.raises(ncfm_hub.NcfmHubError, match="leave --pool out to train one"):
        ncfm_hub.plan("animals", 1, preset="cpu", overrides=asked, pool=Path("pool"))
    assert ncfm_hub.plan("animals", 1, preset="cpu", overrides=asked).pool["origin"] == "to be trained"


def test_what_reads_a_set_takes_paths_and_text(made: Run, here: Path) -> None:
    animals = Path("animals")
    found = ncfm_hub.evaluate(Path("made"), source=animals, pool=Path("pool"))
    assert [row["set"] for row in found["rows"]] == ["random", "random", "distilled", "distilled"]
    study = ncfm_hub.continual(Path("made"), steps=1, orders=1, memories=("random",), source=animals, output="study")
    assert (study.folder / "continual.json").is_file()
    assert ncfm_hub.write_report((Path("made"),), "page.html", source=animals) == Path("page.html")
    assert ncfm_hub.naslib_datasets(Path("made"), source=animals)[0].targets
    searched = ncfm_hub.search_architectures(
        Path("made"), architectures=("convnet3",), budget=Budget(1, 1), random_baseline=False, source=animals
    )
    assert searched["target"] == "made"  # the study is published
    with pytest.raises(ncfm_hub.NcfmHubError, match="owner/name is neither a folder"):
        ncfm_hub.load_distilled(Path("owner/name"))


def test_sets_are_exported_and_imported_by_text_and_path(made: Run, here: Path) -> None:
    folder, _ = ncfm_hub.export_set(Path("made"), "dd-ranking", "exported")
    assert folder == Path("exported")
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    torch.save((images, torch.tensor([0, 1])), "theirs.pt")
    imported = import_set("theirs.pt", Path("animals"), 1, output="imported", overrides=SMALL, preset="cpu")
    assert imported.folder == Path("imported")
    assert ncfm_hub.load_distilled("imported").ipc == 1


def test_results_show_on_one_short_line(made: Run, pool: PoolResult) -> None:
    distilled = ncfm_hub.load_distilled(made.folder)
    assert repr(distilled) == "Distilled(2 x 1 stored images of 3 x 16 x 16 px, factor 2, 8 to train on)"
    for one in (made, pool):
        assert "\n" not in repr(one)
        assert len(repr(one)) < 300 + len(str(one.folder))
    assert repr(made).startswith("Run(folder=")
