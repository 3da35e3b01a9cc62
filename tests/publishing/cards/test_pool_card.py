"""The card of an extractor pool."""

import pytest

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import render_pool_card
from tests.publishing.cards.card_text import body_without_code, header
from tests.publishing.noise_sets import NASTY


def test_the_card_of_a_pool():
    pool = {
        "key": "abc123",
        "architecture": {
            "name": "ncfm_convnet3",
            "channels": 3,
            "resolution": 32,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
        },
        "class_names": list(NASTY),
        "members": [{"accuracy": {"0.0": 74.25, "0.25": 60.0, "0.5": 33.0, "0.75": 12.0, "1.0": 10.0}}] * 2,
        "recipe": {"size": 2, "lr": 0.004, "backbone": None},
        "source": {"dataset": "some/insects", "is_local": False, "license": "mit"},
    }
    text = render_pool_card(pool, repo_id="ada/pool")
    assert header(text)["library_name"] == "timm"
    assert header(text)["datasets"] == ["some/insects"]
    assert header(text)["license"] == "mit"
    assert 'timm.create_model("hf-hub:ada/pool", pretrained=True)' in text
    assert "| 1 | 74.2 | 60.0 | 33.0 | 12.0 | 10.0 |" in text
    assert "<script" not in body_without_code(text)
    assert "backbone" not in text
    pool["source"] |= {"license": "other", "license_name": "Mine", "license_link": "https://h.org/l"}
    text = render_pool_card(pool, repo_id=None)
    assert (header(text)["license_name"], header(text)["license_link"]) == ("mine", "https://h.org/l")
    assert "states the licence `other`, `Mine`, <https://h.org/l>." in text
    with pytest.raises(DistilledError, match=r"pool\.json is not as documented"):
        render_pool_card({"class_names": []}, repo_id=None)


def test_the_card_of_a_fine_tuned_pool_names_its_weights_and_their_licence():
    pool = {
        "architecture": {"name": "resnet18", "channels": 3, "resolution": 32, "mean": [0.5] * 3, "std": [0.25] * 3},
        "class_names": ["a", "b"],
        "members": [{"accuracy": {}}],
        "pretrained": "hf-hub:ada/weights@0123",
        "weights": {"base_model": "ada/weights", "license": "apache-2.0"},
        "source": {"dataset": "some/insects", "is_local": False, "license": "mit"},
    }
    text = render_pool_card(pool, repo_id="ada/pool")
    assert header(text)["base_model"] == "ada/weights"
    assert header(text)["base_model_relation"] == "finetune"
    assert header(text)["license"] == "apache-2.0"
    assert "The weights come from `ada/weights`, whose card states the licence `apache-2.0`." in text
    assert "The source states the licence `mit`." in text
    assert "import ncfm_hub" not in text
    pool["weights"] = {"base_model": "ada/weights"}
    text = render_pool_card(pool, repo_id=None)
    assert header(text)["license"] == "mit"
    assert "The weights come from `ada/weights`." in text


@pytest.mark.parametrize("name", ["ncfm_alexnet", "convnet-d1-w32-instance-relu-avg"])
def test_the_card_imports_what_registers_networks_that_timm_has_not(name):
    pool = {
        "architecture": {"name": name, "channels": 1, "resolution": 8, "mean": [0.5], "std": [0.25]},
        "class_names": ["a"],
        "members": [{}],
    }
    assert "import ncfm_hub.networks.build  # registers" in render_pool_card(pool, repo_id=None)
