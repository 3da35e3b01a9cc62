"""What is compiled: on a CPU by default ConvNets alone, as for other networks it takes longer than it saves."""

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from torch import nn

from ncfm_hub.extractors.cache import pool_key
from ncfm_hub.machine.engine import open_engine
from ncfm_hub.networks.convnet import ConvNet
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.networks.trainer import Trainer
from ncfm_hub.recipes.schema import PoolRecipe

NETWORKS = {
    "timm": lambda: timm.create_model("mobilenetv3_small_050", num_classes=5),
    "convnet": lambda: ConvNet(5, width=8, norm="batch"),  # one that the C++ is not for
}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is handed to torch.compile."""
    found: list[Any] = []
    monkeypatch.setattr("ncfm_hub.machine.engine.compiler_found", lambda device: True)
    monkeypatch.setattr(torch, "compile", lambda function, **options: found.append(function) or function)
    return found


@pytest.mark.parametrize(
    ("switch", "network", "expected"),
    [
        ("auto", "timm", False),
        ("auto", "convnet", True),
        ("on", "timm", True),
        ("on", "convnet", True),
        ("off", "convnet", False),
    ],
)
def test_networks_of_timm_are_compiled_on_a_cpu_where_asked_for(
    switch: str, network: str, expected: bool, compiled: list[Any]
) -> None:
    engine = open_engine("fp32", switch)
    for holder in (Trainer, FrozenNetwork):
        compiled.clear()
        made: nn.Module = NETWORKS[network]()
        holder(made, engine)
        assert len(compiled) == expected


def test_how_it_was_compiled_is_recorded_and_part_of_what_a_pool_depends_on(compiled: list[Any]) -> None:
    kinds = [open_engine("fp32", switch) for switch in ("auto", "on", "off")]
    assert [kind.describe()["compile"] for kind in kinds] == ["ConvNets", True, False]
    alike = [replace(kind, native=False) for kind in kinds]
    recipe = PoolRecipe(size=1, epochs=1, optimizer="sgd", lr=0.1, schedule="steps")
    assert len({pool_key("f", True, recipe, "net", kind) for kind in alike}) == 3
