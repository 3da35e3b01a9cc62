"""Names that the Hub takes."""

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
        ("猫", "dataset"),
        ("thing.git", "thing"),
    ],
)
def test_slugs_are_names_the_hub_takes(text, name):
    assert slug(text) == name
    validate_repo_id(f"ada/{name}")


def test_the_default_name_tells_pipeline_and_ipc():
    assert default_repo_name("cifar100", 50) == "cifar100-ncfm-ipc50"
    assert default_repo_name("cifar100", 50, imported=True) == "cifar100-imported-ipc50"
    assert default_repo_id("ada", "cifar100", 50) == "ada/cifar100-ncfm-ipc50"


def test_long_names_are_cut_to_what_the_hub_takes():
    full = default_repo_id("ada", "x" * 200, 10)
    validate_repo_id(full)
    assert len(full) == 96
    assert full.endswith("x-ncfm-ipc10")
