"""Render the card of a distilled dataset: from `pipeline.yaml` and `results.json` to `README.md`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards import statements
from ncfm_hub.publishing.cards.escaping import inline
from ncfm_hub.publishing.cards.growth import classes_of_losses, growth_of
from ncfm_hub.publishing.cards.header import LICENSE_KEYS, dataset_header, license_fields
from ncfm_hub.publishing.cards.merging import Card, make_card, parse_card, update_card
from ncfm_hub.publishing.cards.origin import origin_of
from ncfm_hub.publishing.cards.pool_card import write_pool_card as write_pool_card
from ncfm_hub.publishing.cards.templates import render
from ncfm_hub.publishing.dataset.layout import (
    CARD,
    CONFIGS,
    OWN_POOLS,
    PIPELINE,
    PREVIEW,
    RESULTS,
    SHARD_PATTERN,
    Config,
)
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results
from ncfm_hub.utils.counting import counted

TEMPLATE = "distilled_dataset.md.j2"
_NAMES_SHOWN = 100
_MEASURING = ("evaluation", "engine")
_SECTIONS = ("pool", "distillation", *_MEASURING)
# Where the template names the dataset; a path to a folder does not match.
_REPOSITORY = re.compile(r'^train = load_dataset\("([\w.-]+(?:/[\w.-]+)?)"', re.MULTILINE)
_STAGES = {
    "pool": "pool",
    "distill": "distillation",
    "labels": "soft labels",
    "evaluate": "evaluation",
    "total": "total",
}


def render_card(pipeline: dict[str, Any], results: dict[str, Any], *, repo_id: str | None) -> str:
    """Render the README of a dataset from the content of pipeline.yaml and results.json.

    repo_id: where it will be published; None for a folder without a repository. Missing facts are left out
    Raises DistilledError if a required fact is missing.
    """
    return _card(pipeline, results, repo_id=repo_id, sizes=None, preview=True).text()


def write_card(folder: Path, *, repo_id: str | None = None) -> None:
    """Write or update `folder/README.md`; header fields and text that a person added or changed are kept.

    repo_id: where the dataset will be published; default: the repository named in the existing card, if it is of these
        images
    Raises DistilledError if files are missing or contradict each other.
    """
    pipeline, results = read_pipeline(folder), read_results(folder)
    sizes = {config: _sizes(folder, config, _rows(pipeline)[config]) for config in CONFIGS}
    preview = (folder / PREVIEW).is_file()
    card = _card(pipeline, results, repo_id=repo_id, sizes=sizes, preview=preview)
    named = _repository_named(folder / CARD, card.header) if repo_id is None else None
    if named:
        card = _card(pipeline, results, repo_id=named, sizes=sizes, preview=preview)
    update_card(folder / CARD, card)


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
    return pipeline.get("pool", {}).get("origin") not in (None, *OWN_POOLS)


def _repository_named(path: Path, header: Mapping[str, Any]) -> str | None:
    """Return the repository named in the card at `path`, if that card is of the images that `header` describes."""
    if not path.is_file():
        return None
    card = parse_card(path.read_text(encoding="utf-8"), str(path))
    there = card.header.get("dataset_info")
    # `distill --append` copies the card of the smaller dataset, whose repository lacks the new images.
    if not isinstance(there, list) or any(info not in there for info in header["dataset_info"]):
        return None
    found = _REPOSITORY.search(card.block)
    return found[1] if found else None


def _card(
    pipeline: Mapping[str, Any],
    results: Mapping[str, Any],
    *,
    repo_id: str | None,
    sizes: Mapping[Config, tuple[int, int]] | None,
    preview: bool,
) -> Card:
    try:
        source, rows = pipeline["source"], _rows(pipeline)
        by = "a third party" if "imported" in pipeline else "NCFM"
        title = f"{pipeline['name']} distilled by {by}, {counted(pipeline['ipc'], 'image')} per class"
        header = dataset_header(
            title=title,
            class_names=list(source["class_names"]),
            rows=rows,
            sizes=sizes,
            source=None if source.get("is_local", True) else source["dataset"],
            license_terms=license_fields(*(source.get(key) for key in LICENSE_KEYS)),
        )
        if "imported" in pipeline:
            header["tags"].remove("ncfm")
        context = _context(pipeline, results) | {"title": title, "repo_id": repo_id, "preview": preview, "rows": rows}
        return make_card(header, render(TEMPLATE, context))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DistilledError(f"{PIPELINE} or {RESULTS} is not as documented: {type(error).__name__} {error}") from error


def _context(pipeline: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    source, settings, protocol = pipeline["source"], pipeline["recipe"]["distillation"], results.get("protocol", {})
    distillation = results.get("distillation", {})
    measured = [row for row in results.get("rows", []) if row.get("accuracy")]
    pool_accuracy = [m["accuracy"] for m in results.get("pool", {}).get("members", []) if m.get("accuracy")]
    return {
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
        "licence": statements.licence(source),
        "pool": pipeline.get("pool", {}),
        "pool_given": _pool_given(pipeline),
        "pool_accuracy": pool_accuracy,
        "pool_measured_on": results.get("pool", {}).get("measured_on"),
        "machine": pipeline.get("machine", {}),
        "times": [(_STAGES[k], v) for k, v in pipeline.get("wall_time_seconds", {}).items() if k in _STAGES],
        "peaks": [(_STAGES[k], v / 1e9) for k, v in results.get("peak_gpu_bytes", {}).items() if k in _STAGES],
        "versions": ", ".join(f"{name} {version}" for name, version in pipeline.get("versions", {}).items() if version),
    }


def _rows(pipeline: Mapping[str, Any]) -> dict[Config, int]:
    try:
        stored = len(pipeline["source"]["class_names"]) * pipeline["ipc"]
        return {"default": stored * pipeline["recipe"]["distillation"]["factor"] ** 2, "stored": stored}
    except (KeyError, TypeError) as error:
        raise DistilledError(f"{PIPELINE} lacks what a card needs: {error}") from error


def _sizes(folder: Path, config: Config, expected: int) -> tuple[int, int]:
    """Return (bytes in memory, bytes on disk); raises if the number of rows is wrong, since loading would fail."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = in_memory = on_disk = 0
    for shard in sorted((folder / config).glob(f"{SHARD_PATTERN}.parquet")):
        try:
            footer = pq.read_metadata(shard)
        except (pa.ArrowException, OSError) as error:
            raise DistilledError(f"{shard} cannot be read as parquet: {error}") from error
        rows += footer.num_rows
        in_memory += sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        on_disk += shard.stat().st_size
    if rows != expected:
        raise DistilledError(f"{folder / config} holds {counted(rows, 'image')}; {PIPELINE} says {expected}")
    return in_memory, on_disk
