"""What is known of the pretrained weights that a pool was trained from, for its card."""

from typing import Any

import timm

from ncfm_hub.networks.build import is_place, pretrained_name
from ncfm_hub.recipes.schema import PoolRecipe
from ncfm_hub.utils.hub_client import client
from ncfm_hub.utils.hub_errors import expected_errors
from ncfm_hub.utils.waiting import patient

_LICENCE = ("license", "license_name", "license_link")


def weights_facts(recipe: PoolRecipe) -> dict[str, str]:
    """Return `base_model`, the repository of a recipe's weights on the Hub, and the licence that its card states.

    What is not known, as without a connection, is left out; so is everything of weights in a folder.
    """
    if recipe.pretrained is None or recipe.pretrained.startswith("local-dir:"):
        return {}
    name = pretrained_name(recipe.backbone, recipe.pretrained)
    if is_place(name):
        repo_id, _, revision = name.partition(":")[2].partition("@")
    else:
        named = timm.get_pretrained_cfg(name)
        repo_id, revision = str(named.hf_hub_id or "") if named else "", ""
    if not repo_id:
        return {}
    return {"base_model": repo_id, **_licence_of(repo_id, revision or None)}


def _licence_of(repo_id: str, revision: str | None) -> dict[str, str]:
    try:
        with patient():
            stated: Any = client(None).model_info(repo_id, revision=revision).card_data
    except expected_errors():
        return {}
    found = {key: getattr(stated, key, None) for key in _LICENCE}
    return {key: value for key, value in found.items() if isinstance(value, str) and value}
