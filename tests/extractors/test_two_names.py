"""A backbone and weights of different architectures, one of which would silently be ignored."""

import json
from pathlib import Path
from typing import Any

import pytest

from ncfm_hub import api as run
from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.cache import get_pool
from ncfm_hub.machine.engine import Engine
from ncfm_hub.recipes.resolve import load_pipeline
from tests.matching.tiny import tiny_source


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A place of weights as timm describes it, which is all that is read before they are."""
    (tmp_path / "weights").mkdir()
    described = {"architecture": "resnet10t", "num_classes": 3, "pretrained_cfg": {"tag": "in1k", "num_classes": 3}}
    (tmp_path / "weights" / "config.json").write_text(json.dumps(described))
    return f"local-dir:{tmp_path / 'weights'}"


def planned(overrides: dict[str, Any], dataset: str = "digits") -> run.Plan:
    return run.plan(dataset, 1, preset="cpu", overrides={"engine.compile": "off", **overrides})


def assert_names_both(message: str) -> None:
    assert "'resnet18'" in message
    assert "'resnet10t'" in message
    assert "--backbone" in message
    assert "\n" not in message


def test_they_are_refused_before_anything_is_trained(weights: str, engine: Engine, home: Path, tmp_path: Path) -> None:
    both = {"pool.backbone": "resnet18", "pool.pretrained": weights}
    with pytest.raises(PoolError) as of_distill:
        planned(both)
    with pytest.raises(PoolError) as of_pretrain:
        run.pretrain("digits", preset="cpu", overrides=both)
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"source: {{dataset: digits, channels: 1}}\npool: {{backbone: resnet18, pretrained: '{weights}'}}\n"
    )
    with pytest.raises(PoolError) as of_a_file:
        planned({"source.dataset": load_pipeline("digits").recipe.source.dataset}, str(file))
    recipe = load_pipeline("digits", preset="cpu", overrides=both).recipe.pool
    with pytest.raises(PoolError) as of_the_stage:  # by which `evaluate` gets them, too
        get_pool(tiny_source(), True, recipe, engine)
    for raised in (of_distill, of_pretrain, of_a_file, of_the_stage):
        assert_names_both(str(raised.value))
    assert not list((home / "cache").glob("pools/*"))


@pytest.mark.parametrize("backbone", ["resnet10t", "resnet10t.c3_in1k", None])
def test_the_same_architecture_by_two_names_is_one(weights: str, home: Path, backbone: str | None) -> None:
    assert planned({"pool.backbone": backbone, "pool.pretrained": weights}).pool["origin"] == "to be trained"
