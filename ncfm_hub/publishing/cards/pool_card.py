"""Render the card of an extractor pool: from `pool.json` to `README.md` of a model repository that timm can load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards import statements
from ncfm_hub.publishing.cards.escaping import inline
from ncfm_hub.publishing.cards.header import LICENSE_KEYS, license_fields
from ncfm_hub.publishing.cards.merging import Card, make_card, merge_cards, parse_card
from ncfm_hub.publishing.cards.templates import render
from ncfm_hub.publishing.dataset.layout import CARD
from ncfm_hub.utils.files import write_text
from ncfm_hub.utils.mappings import read_mapping

TEMPLATE = "extractor_pool.md.j2"
POOL = "pool.json"
POOL_TAG = "ncfm"  # by which `list_pools` finds published pools
_NAMES_SHOWN = 100
_OUR_NETWORKS = ("ncfm_", "convnet-")  # beginnings of the names of those that are not timm's


def render_pool_card(pool: dict[str, Any], *, repo_id: str | None) -> str:
    """Render the README of a pool from the content of pool.json; missing facts are left out.

    Raises DistilledError if architecture, classes or members are missing.
    """
    return _card(pool, repo_id).text()


def write_pool_card(folder: Path, *, repo_id: str | None = None) -> None:
    """Write or update `folder/README.md`, see `pool_card`."""
    write_text(folder / CARD, pool_card(folder, repo_id=repo_id).text())


def pool_card(folder: Path, *, repo_id: str | None) -> Card:
    """Return the card of the pool in `folder`; header fields and text that a person added or changed are kept.

    Raises DistilledError if the folder has no readable pool.json.
    """
    path = folder / POOL
    try:
        pool = read_mapping(path, "JSON")
    except FileNotFoundError as error:
        raise DistilledError(f"{folder} is not an extractor pool: it has no {POOL}") from error
    card, before = _card(pool, repo_id), folder / CARD
    if not before.is_file():
        return card
    return merge_cards(card, parse_card(before.read_text(encoding="utf-8"), str(before)))


def _card(pool: Mapping[str, Any], repo_id: str | None) -> Card:
    try:
        source, weights, names = pool.get("source", {}), pool.get("weights", {}), pool["class_names"]
        context = {
            "pool": pool,
            "architecture": pool["architecture"],
            "ours": str(pool["architecture"]["name"]).startswith(_OUR_NETWORKS),
            "classes": len(names),
            "names": inline(", ".join(names[:_NAMES_SHOWN]), longest=4000),
            "names_left": max(0, len(names) - _NAMES_SHOWN),
            "members": len(pool["members"]),
            "accuracy": [member["accuracy"] for member in pool["members"] if member.get("accuracy")],
            "source": source,
            "licence": statements.licence(source),
            "base_model": weights.get("base_model"),
            "weights_licence": statements.licence(weights),
            "recipe": [(key, value) for key, value in pool.get("recipe", {}).items() if value is not None],
            "repo_id": repo_id,
        }
        return make_card(_header(source, weights), render(TEMPLATE, context))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DistilledError(f"{POOL} is not as documented: {type(error).__name__} {error}") from error


def _header(source: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header. Fine-tuned networks are under the licence of their weights, where that is known."""
    on_a_hub = "dataset" in source and source.get("is_local") is False
    base_model = weights.get("base_model")
    stated = [(weights if weights.get("license") else source).get(key) for key in LICENSE_KEYS]
    return {
        "library_name": "timm",
        "pipeline_tag": "image-classification",
        **(license_fields(*stated) if any(stated) else {}),
        **({"base_model": base_model, "base_model_relation": "finetune"} if base_model else {}),
        **({"datasets": [source["dataset"]]} if on_a_hub else {}),
        "tags": ["timm", "image-classification", "dataset-distillation", POOL_TAG],
    }
