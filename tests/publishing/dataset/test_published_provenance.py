"""`pipeline.yaml`: what a run records about source and pool, and what the card makes of it."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ncfm_hub.publishing import render_card
from ncfm_hub.publishing.dataset.provenance import describe_run
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.recipes.schema import Recipe, SourceRecipe
from ncfm_hub.sources import Source, inspect_source, packaged_digits
from tests.matching.tiny import STANDARD, plain_engine, tiny_pool, tiny_source

PIPELINE = load_pipeline("cifar10", preset="cpu", overrides={"distillation.ipc": 1})


def described(source: Source, origin: str = "cache") -> dict[str, Any]:
    """As it is read back from the file."""
    pool = dataclasses.replace(tiny_pool(source, name=STANDARD), origin=origin)
    content = describe_run(PIPELINE, source, pool, plain_engine(), notes=(), seconds={})
    return yaml.safe_load(yaml.safe_dump(content, sort_keys=False))


@pytest.mark.parametrize(
    ("origin", "own"), [("trained here", True), ("cache", True), (f"ada/pool@{'a' * 40}", False), ("mine", False)]
)
def test_a_pool_that_was_given_is_not_described_by_a_recipe_that_did_not_make_it(origin, own):
    content = described(tiny_source(), origin)
    assert content["pool"]["trained_by_this_recipe"] is own
    text = render_card(content, {}, repo_id=None)
    for key in ("size", "epochs", "optimizer"):
        assert (f"| pool | {key} |" in text) is own
    assert ("given, not trained with these settings" in text) is not own
    assert "- Extractor pool: 2 (init, trained) pairs of `ncfm_convnet3`" in text
    assert f"; from: {origin}" in text
    assert "| distillation | steps |" in text


def test_mean_and_deviation_of_the_sources_training_images_are_recorded():
    source = tiny_source()
    pixels = source.train.images.double() / 255
    recorded = described(source)["source"]
    assert recorded["mean"] == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert recorded["std"] == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-6)


def test_the_recipe_is_whole_under_a_given_pool_too():
    """`ncfm-hub evaluate` reads it back, and a recipe without its section `pool` is refused."""
    content = described(tiny_source(), f"ada/pool@{'a' * 40}")
    content["recipe"]["distillation"] |= {key: content[key] for key in ("ipc", "seed")}  # they stand beside it
    assert Recipe.model_validate(content["recipe"]) == PIPELINE.recipe


def test_name_and_link_of_the_sources_licence_arrive_in_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets-cache")
    folder = Path(shutil.copytree(packaged_digits(), tmp_path / "digits"))
    readme = (folder / "README.md").read_text()
    stated = "license: other\nlicense_name: Digits 1.0\nlicense_link: https://h.org/terms\n"
    (folder / "README.md").write_text(readme.replace("license: cc-by-4.0\n", stated, 1))
    info = inspect_source(SourceRecipe(dataset=str(folder), channels=1))
    assert (info.license, info.license_name, info.license_link) == ("other", "Digits 1.0", "https://h.org/terms")
    tiny = tiny_source(classes=10, channels=1)
    content = described(dataclasses.replace(tiny, info=dataclasses.replace(info, resolution=16)))
    found = {key: value for key, value in content["source"].items() if key.startswith("license")}
    assert found == {"license": "other", "license_name": "Digits 1.0", "license_link": "https://h.org/terms"}
    text = render_card(content, {}, repo_id=None)
    assert "\nlicense: other\nlicense_name: digits-1.0\nlicense_link: https://h.org/terms\n" in text
    assert "The source states the licence `other`, `Digits 1.0`, <https://h.org/terms>; this dataset" in text
