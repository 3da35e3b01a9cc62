"""What a step is made of on this machine."""

from dataclasses import replace

import pytest

from ncfm_hub.distillation.units import objective_on
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.kernels import characteristic as native
from ncfm_hub.matching.characteristic import characteristic_function
from ncfm_hub.matching.objective import Characteristic, FeatureMean
from ncfm_hub.recipes.resolve import load_pipeline


@pytest.mark.parametrize("is_native", [True, False])
def test_the_real_side_goes_by_native_kernels_where_the_networks_do(engine: Engine, is_native: bool) -> None:
    engine, recipe = replace(engine, native=is_native), load_pipeline("digits", preset="cpu").recipe.distillation
    expected = native.fast_characteristic_function if is_native else characteristic_function
    assert objective_on(engine, recipe) == Characteristic(recipe.alpha, expected)
    assert objective_on(engine, recipe.model_copy(update={"matching": "mean"})) == FeatureMean()
