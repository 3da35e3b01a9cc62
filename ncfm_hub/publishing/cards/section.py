"""The section of a card about one of its distilled datasets, from `pipeline.yaml` and `results.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from ncfm_hub.publishing.cards import statements
from ncfm_hub.publishing.cards.card_set import CardSet
from ncfm_hub.publishing.cards.escaping import Ready, inline
from ncfm_hub.publishing.cards.growth import classes_of_losses, growth_of
from ncfm_hub.publishing.cards.origin import origin_of
from ncfm_hub.publishing.cards.templates import render
from ncfm_hub.publishing.dataset.layout import OWN_POOLS

TEMPLATE = "distilled_section.md.j2"
_NAMES_SHOWN = 100
_MEASURING = ("evaluation", "engine")
_SECTIONS = ("pool", "distillation", *_MEASURING)
_STAGES = {
    "pool": "pool",
    "distill": "distillation",
    "labels": "soft labels",
    "evaluate": "evaluation",
    "total": "total",
}


def section_of(one: CardSet) -> Ready:
    """Return the section as Markdown; missing facts are left out."""
    return Ready(render(TEMPLATE, _context(one)).strip())


def recipe_rows(
    pipeline: Mapping[str, Any], protocol: Mapping[str, Any], shown: Sequence[str]
) -> list[tuple[str, str, Any]]:
    """Return (section, setting, value) for the settings of distillation and evaluation, from the sections `shown`.

    The section of the pool is left out if a trained pool was given, which has other settings.

    protocol: from results.json; it may be of a later evaluation than the recipe's
    """
    recipe = _as_measured(pipeline["recipe"], protocol)
    sections = [section for section in shown if not (section == "pool" and _pool_given(pipeline))]
    return [(s, key, value) for s in sections for key, value in recipe.get(s, {}).items() if value is not None]


def _as_measured(recipe: Mapping[str, Any], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe with the evaluation settings behind the results, which may be of a later evaluation."""
    used = protocol.get("recipe")
    if not used or "evaluation" not in recipe:
        return dict(recipe)
    known = {key: value for key, value in used.items() if key in recipe["evaluation"]}
    evaluation = {**recipe["evaluation"], **known, "students": protocol["students"]}
    return {**recipe, "evaluation": {**evaluation, "epochs": None} if used.get("updates") else evaluation}


def _pool_given(pipeline: Mapping[str, Any]) -> bool:
    pool = pipeline.get("pool", {})
    return pool.get("origin") not in (None, *OWN_POOLS) and not pool.get("trained_by_this_recipe")


def _context(one: CardSet) -> dict[str, Any]:
    pipeline, results = one.pipeline, one.results
    source, settings, protocol = pipeline["source"], pipeline["recipe"]["distillation"], results.get("protocol", {})
    distillation = results.get("distillation", {})
    measured = [row for row in results.get("rows", []) if row.get("accuracy")]
    pool_accuracy = [m["accuracy"] for m in results.get("pool", {}).get("members", []) if m.get("accuracy")]
    return {
        "name": one.name,
        "preview": one.preview,
        "rows": one.rows,
        "pipeline": pipeline,
        "source": source,
        "names": inline(", ".join(source["class_names"][:_NAMES_SHOWN]), longest=4000),
        "names_left": max(0, len(source["class_names"]) - _NAMES_SHOWN),
        "factor": settings["factor"],
        "sets": statements.SETS,
        "imported": origin_of(pipeline["imported"]) if "imported" in pipeline else [],
        "soft": pipeline.get("imported", {}).get("soft_labels", True),
        "measured": measured,
        "measured_how": statements.measured_how(protocol),
        "spread": any(row["accuracy"]["n"] > 1 for row in measured),
        "trained": any(row.get("train_accuracy") for row in measured),
        "comparisons": statements.remarks(measured, pipeline.get("pool", {}).get("digest")),
        "architectures": statements.by_architecture(results.get("cross_architecture", [])),
        "ranking": results.get("ranking", {}),
        "ranking_figures": statements.RANKING,
        "objective": statements.objective(settings),
        "growth": growth_of(pipeline),
        "distillation": distillation,
        "classes_of_losses": classes_of_losses(distillation),
        "recipe": recipe_rows(pipeline, protocol, _MEASURING if "imported" in pipeline else _SECTIONS),
        "pool": pipeline.get("pool", {}),
        "pool_given": _pool_given(pipeline),
        "pool_accuracy": pool_accuracy,
        "pool_measured_on": results.get("pool", {}).get("measured_on"),
        "machine": pipeline.get("machine", {}),
        "times": [(_STAGES[k], v) for k, v in pipeline.get("wall_time_seconds", {}).items() if k in _STAGES],
        "peaks": [(_STAGES[k], v / 1e9) for k, v in results.get("peak_gpu_bytes", {}).items() if k in _STAGES],
        "versions": ", ".join(f"{name} {version}" for name, version in pipeline.get("versions", {}).items() if version),
    }
