"""Names that the Hub takes."""

import unicodedata

import pytest
from huggingface_hub.utils import validate_repo_id

from ncfm_hub.publishing import default_repo_id, default_repo_name, slug


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cifar10", "cifar10"),
        ("tiny-imagenet", "tiny-imagenet"),
        ("uoft-cs/cifar100", "uoft-cs-cifar100"),
        ("Déjà vu: photos!", "Deja-vu-photos"),
        ("a--b..c.-d", "a-b.c.d"),
        ("../../x", "x"),
        ("-_.", "dataset"),
        ("猫", "dataset-a810bf84"),
        ("猫 and dogs", "and-dogs-255ebf6a"),
        ("thing.git", "thing"),
    ],
)
def test_slugs_are_names_the_hub_takes(text, name):
    assert slug(text) == name
    validate_repo_id(f"ada/{name}")


def test_names_in_other_scripts_are_told_apart():
    texts = ["猫", "犬", "кошки", "собаки", "قطط", "ねこ dogs", "いぬ dogs", "plain dogs"]
    assert len({slug(text) for text in texts}) == len(texts)
    assert slug(unicodedata.normalize("NFC", "がく")) == slug(unicodedata.normalize("NFD", "がく"))


def test_the_default_name_tells_pipeline_and_ipc():
    assert default_repo_name("cifar100", 50) == "cifar100-ncfm-ipc50"
    assert default_repo_name("cifar100", 50, imported=True) == "cifar100-imported-ipc50"
    assert default_repo_id("ada", "cifar100", 50) == "ada/cifar100-ncfm-ipc50"


def test_long_names_are_cut_to_what_the_hub_takes():
    full = default_repo_id("ada", "x" * 200, 10)
    validate_repo_id(full)
    assert len(full) == 96
    assert full.endswith("x-ncfm-ipc10")
