"""Sources on a Hub that were read before, where the Hub may not be asked."""

import dataclasses

import pytest
import torch

from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources import SourceInfo, cache
from ncfm_hub.sources.offline import recall_source, remember_source
from tests.matching.tiny import tiny_source

SPEC = SourceRecipe(dataset="ada/insects", classes=["ant", "bee"])
COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def info(monkeypatch: pytest.MonkeyPatch) -> SourceInfo:
    """A source that was read, with its images in the cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    made = dataclasses.replace(
        tiny_source().info, dataset="ada/insects", revision=COMMIT, fingerprint="f00d", test_split="test"
    )
    cache.save(cache.cache_path("f00d"), {"train_images": torch.zeros(1, dtype=torch.uint8)}, {})
    remember_source(SPEC, "if there", made)
    return made


@pytest.mark.parametrize(
    "asked", [{}, {"revision": COMMIT}, {"dataset": "hf://datasets/ada/insects", "revision": COMMIT}], ids=str
)
def test_it_is_found_under_the_name_asked_for_and_under_its_commit(info, asked):
    assert recall_source(SPEC.model_copy(update=asked), "required") == info


@pytest.mark.parametrize(
    "asked", [{"revision": "v1"}, {"classes": None}, {"resolution": 64}, {"dataset": "ada/others"}], ids=str
)
def test_other_settings_are_another_source(info, asked):
    assert recall_source(SPEC.model_copy(update=asked), "required") is None


def test_it_is_asked_for_where_that_is_allowed(info, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert recall_source(SPEC, "required") is None


def test_another_hub_has_other_datasets(info, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert recall_source(SPEC, "required") is None


def test_a_run_without_test_images_is_of_no_use_to_one_that_needs_them(info):
    assert recall_source(SPEC, "unread") is None
    remember_source(SPEC, "if there", dataclasses.replace(info, test_split=None))
    assert recall_source(SPEC, "if there") is not None
    assert recall_source(SPEC, "required") is None


def test_a_folder_of_that_name_is_read_instead(info, tmp_path, monkeypatch):
    (tmp_path / "ada" / "insects").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert recall_source(SPEC, "required") is None


def test_without_its_images_or_with_a_damaged_record_it_is_not_found(info):
    for record in (cache.cache_path("f00d").parent / "read").iterdir():
        record.write_text(record.read_text().replace("insects", "spiders"))
    assert recall_source(SPEC, "required") is None
    remember_source(SPEC, "if there", info)
    assert recall_source(SPEC, "required") == info
    cache.cache_path("f00d").unlink()
    assert recall_source(SPEC, "required") is None


def test_an_account_is_not_guessed(info):
    """Whose `{user}/insects` that is, only the Hub can tell."""
    remember_source(SPEC.model_copy(update={"dataset": "{user}/insects"}), "required", info)
    assert recall_source(SPEC.model_copy(update={"dataset": "{user}/insects"}), "required") is None
