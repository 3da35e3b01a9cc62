"""Names that the Hub takes."""

import unicodedata

import pytest
from huggingface_hub.utils import validate_repo_id

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import default_repo_id, default_repo_name, slug
from ncfm_hub.publishing.dataset.names import check_name, natural_order


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


def test_the_default_name_tells_the_pipeline():
    assert default_repo_name("cifar100") == "cifar100-ncfm"
    assert default_repo_name("cifar100", imported=True) == "cifar100-imported"
    assert default_repo_id("ada", "cifar100") == "ada/cifar100-ncfm"


@pytest.mark.parametrize("name", ["ipc10", "seed-3", "ipc10.b", "a_b", "x" * 60])
def test_what_can_name_a_distilled_dataset(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "-x", "a b", "Default", "data", "stored", "ipc10_stored", "x" * 61, "a\nb", "猫"]
)
def test_what_cannot(name):
    with pytest.raises(DistilledError, match="cannot name a distilled dataset"):
        check_name(name)


def test_names_are_ordered_by_their_numbers():
    names = ["ipc50", "ipc1", "b", "ipc10", "a2", "ipc10-b", "9"]
    assert sorted(names, key=natural_order) == ["9", "a2", "b", "ipc1", "ipc10", "ipc10-b", "ipc50"]


def test_long_names_are_cut_to_what_the_hub_takes():
    full = default_repo_id("ada", "x" * 200)
    validate_repo_id(full)
    assert len(full) == 96
    assert full.endswith("x-ncfm")
