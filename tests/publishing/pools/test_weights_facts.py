"""What a pool's card says of the pretrained weights: their repository, and the licence that its card states."""

from typing import Any

from ncfm_hub.extractors.weights_facts import weights_facts
from ncfm_hub.recipes.schema import PoolRecipe
from tests.conftest import LiveHub
from tests.publishing.conftest import Notes


def recipe(**values: Any) -> PoolRecipe:
    common = {"size": 1, "epochs": 1, "optimizer": "adamw", "lr": 1e-3, "schedule": "one-cycle"}
    return PoolRecipe.model_validate(common | values)


def test_weights_name_their_repository_and_licence(hub: LiveHub, here: Notes) -> None:
    api = hub.api()
    card = "---\nlicense: other\nlicense_name: mine\nlicense_link: https://h.org/l\n---\n# Weights\n"
    for name in ("ada/weights", "ada/bare"):
        api.create_repo(name)
    first = api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id="ada/weights").oid
    other = card.replace("other", "mit").encode()
    api.upload_file(path_or_fileobj=other, path_in_repo="README.md", repo_id="ada/weights")
    mine = {"base_model": "ada/weights", "license": "other", "license_name": "mine", "license_link": "https://h.org/l"}
    assert weights_facts(recipe(pretrained=f"hf-hub:ada/weights@{first}")) == mine
    assert weights_facts(recipe(pretrained="hf-hub:ada/weights"))["license"] == "mit"
    assert weights_facts(recipe(pretrained="hf-hub:ada/bare")) == {"base_model": "ada/bare"}


def test_what_is_not_known_is_left_out(hub: LiveHub, here: Notes, monkeypatch: Any) -> None:
    assert weights_facts(recipe()) == {}
    assert weights_facts(recipe(pretrained="local-dir:somewhere")) == {}
    tagged = {"base_model": "timm/resnet10t.c3_in1k"}  # which this hub does not have
    assert weights_facts(recipe(backbone="resnet10t", pretrained="c3_in1k")) == tagged
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert weights_facts(recipe(pretrained="hf-hub:ada/weights")) == {"base_model": "ada/weights"}
