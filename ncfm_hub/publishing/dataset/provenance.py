"""Content of `pipeline.yaml`: the resolved recipe, the source, and the pool, software and machine used."""

import datetime
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub._version import __version__
from ncfm_hub.errors import DistilledError, PipelineError
from ncfm_hub.publishing.dataset.layout import OWN_POOLS
from ncfm_hub.recipes.files import check_section
from ncfm_hub.recipes.resolve import ResolvedPipeline, preset_section
from ncfm_hub.recipes.schema import NOT_OF_TRAINING, EngineRecipe, EvaluationRecipe, Recipe
from ncfm_hub.sources.place import HUB, PACKAGED_NAME
from ncfm_hub.utils.places import (
    LOCAL_SOURCE,
    folder_name,
    public_weights,
    recall,
    remember,
    weights_digest,
    weights_folder,
    weights_here,
)

if TYPE_CHECKING:
    from ncfm_hub.extractors.pool import Pool
    from ncfm_hub.machine.engine import Engine
    from ncfm_hub.sources import Source, SourceInfo

PIPELINE_FORMAT = 1
_HUB_POOL = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
_HUB_DATASET = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PACKAGES = ("torch", "timm", "datasets", "huggingface_hub", "accelerate")


def describe_run(
    pipeline: ResolvedPipeline,
    source: "Source",
    pool: "Pool",
    engine: "Engine",
    *,
    notes: tuple[str, ...],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Return the content of `pipeline.yaml`, in writing order. seconds: wall time by stage."""
    return {
        "ncfm_hub": PIPELINE_FORMAT,
        "name": pipeline.name,
        "preset": pipeline.preset,
        "ipc": pipeline.recipe.distillation.ipc,
        "seed": pipeline.recipe.distillation.seed,
        "recipe": _public_recipe(pipeline.recipe, source.info),
        "source": _describe_source(source, notes),
        "pool": {
            "key": pool.key,
            # The key identifies how a pool was made; pools made alike on two machines differ in their last bits.
            "digest": pool.digest,
            "classes": pool.architecture.classes,
            "architecture": pool.architecture.name,
            "members": len(pool.members),
            "pretrained": public_weights(pool.pretrained),
            "origin": public_origin(pool.origin),
            # `recipe` always has a pool section, since only a complete recipe can be read back.
            "trained_by_this_recipe": pool.origin in OWN_POOLS or pool.claims_recipe,
        },
        "versions": _versions(),
        "machine": engine.describe(),
        "wall_time_seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "created": _now(),
    }


def describe_import(
    pipeline: ResolvedPipeline, source: "Source", imported: dict[str, Any], *, ipc: int, factor: int
) -> dict[str, Any]:
    """Return the content of `pipeline.yaml` for an imported dataset, of whose distillation only the factor is known.

    imported: facts about the imported file; the recipe's other sections define how the dataset is evaluated
    """
    recipe = _public_recipe(pipeline.recipe, source.info)
    return {
        "ncfm_hub": PIPELINE_FORMAT,
        "name": pipeline.name,
        "preset": pipeline.preset,
        "ipc": ipc,
        "imported": imported,
        "recipe": recipe | {"distillation": {"factor": factor}},
        "source": _describe_source(source, source.notes),
        "versions": _versions(),
        "created": _now(),
    }


def recipe_of(described: dict[str, Any], file: Path) -> Recipe:
    """Return the recipe recorded in a `pipeline.yaml`, at the pinned revisions of the source and of the pool's weights.

    Raises DistilledError naming the file if this version cannot read it.
    """
    if "imported" not in described and not isinstance(described.get("seed"), int):
        raise DistilledError(f"{file} gives no seed, from which start and random images are drawn")
    unusable = f"{file} holds no usable recipe"
    try:
        values = {section: dict(content) for section, content in described["recipe"].items()}
        values["source"] |= _source_here(described["source"])
        values["pool"]["pretrained"] = weights_here(_pretrained(described) or values["pool"].get("pretrained"))
        values["pool"]["use"] = _given_pool(described.get("pool") or {})
        if "imported" in described:  # only its factor is known; the rest configures the DM baseline
            assumed = preset_section("distillation", described["preset"])
            values["distillation"] = assumed | values["distillation"]
        else:
            values["distillation"] |= {"ipc": described["ipc"], "seed": described["seed"]}
        for section, model in (("evaluation", EvaluationRecipe), ("engine", EngineRecipe)):
            # These sections do not describe the dataset, and other versions have other keys.
            values[section] = {key: value for key, value in values[section].items() if key in model.model_fields}
        values["engine"].pop("device", None)  # another machine's
        for section, content in values.items():
            check_section(unusable, section, content)
        return Recipe.model_validate(values)
    except PipelineError as error:
        raise DistilledError(str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # pydantic's is a ValueError
        raise DistilledError(f"{unusable}: {str(error).splitlines()[0]}") from None


def public_origin(origin: str) -> str:
    """Return a pool's origin as published: a folder without its path."""
    return origin if origin in OWN_POOLS or is_hub_pool(origin) else folder_name(origin)


def is_hub_pool(origin: str) -> bool:
    """Return whether an origin is a Hub repository, which includes a commit."""
    return _HUB_POOL.fullmatch(origin) is not None


def remember_places(recipe: Recipe, source: "SourceInfo", pool: "Pool | None" = None) -> None:
    """Remember on this machine which folders a dataset was made from; `pipeline.yaml` records only their digests."""
    if source.folder and source.content:
        remember(source.content, source.folder)
    weights = weights_folder(recipe.pool.pretrained)
    if weights:
        remember(weights_digest(weights), weights)
    if pool and pool.origin not in OWN_POOLS and Path(pool.origin).expanduser().is_dir():
        remember(pool.digest, Path(pool.origin).expanduser())


def _pretrained(described: dict[str, Any]) -> Any:
    """Return the weights that a pool trained by this recipe started from: their commit, where the recipe has a name."""
    pool = described.get("pool") or {}
    return pool.get("pretrained") if pool.get("trained_by_this_recipe") else None


def _given_pool(pool: dict[str, Any]) -> str | None:
    """Return the pool of the Hub that a dataset was made with, if it was not one with the recipe's key."""
    origin = str(pool.get("origin"))
    return origin if is_hub_pool(origin) and not pool.get("trained_by_this_recipe") else None


def _source_here(source: dict[str, Any]) -> dict[str, Any]:
    """Return the recorded source as recipe settings; no path in a third-party `pipeline.yaml` is ever opened."""
    name = str(source["dataset"])
    if not source["is_local"]:
        if not _HUB_DATASET.fullmatch(name):
            raise ValueError(f"source.dataset {name!r} is no Hub id")
        return {"dataset": f"{HUB}{name}", "revision": source["revision"]}
    if name == PACKAGED_NAME:
        return {"dataset": name, "revision": None}
    folder = recall(source.get("content"))
    return {"dataset": str(folder) if folder else f"{LOCAL_SOURCE}{folder_name(name)}", "revision": None}


def _public_recipe(recipe: Recipe, source: "SourceInfo") -> dict[str, Any]:
    values = recipe.model_dump(exclude={"distillation": {"ipc", "seed"}})  # they stand beside it, said once
    del values["engine"]["device"]  # this machine's, which means nothing on another
    values["pool"]["pretrained"] = public_weights(recipe.pool.pretrained)
    for key in NOT_OF_TRAINING:  # said by the origin of the pool, which earlier versions know too
        del values["pool"][key]
    if source.folder:
        values["source"]["dataset"] = source.public_name
    return values


def _without_path(note: str, source: "SourceInfo") -> str:
    """Replace the path of the source's folder in a note by the folder's name."""
    for path in filter(None, (source.folder, source.dataset) if source.folder else ()):
        if "/" in path and Path(path).name:  # a bare name reveals nothing, and may occur inside other words
            note = note.replace(path, source.public_name)
    return note


def _versions() -> dict[str, str]:
    own = {"ncfm_hub": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in _PACKAGES}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _describe_source(source: "Source", notes: tuple[str, ...]) -> dict[str, Any]:
    from ncfm_hub.networks.build import channel_statistics  # imported late: it imports torch and timm

    info = source.info
    mean, std = channel_statistics(source.train.images)
    return {
        "dataset": info.public_name,
        "is_local": info.is_local,
        "content": info.content,
        "config": info.config,
        "revision": info.revision,
        "image_column": info.image_column,
        "label_column": info.label_column,
        "train_split": info.train_split,
        "test_split": info.test_split,
        "class_names": list(info.class_names),
        "class_ids": list(info.class_ids),
        "resolution": info.resolution,
        "channels": info.channels,
        # By which students normalise.
        "mean": list(mean),
        "std": list(std),
        "license": info.license,
        "license_name": info.license_name,
        "license_link": info.license_link,
        "citation": info.citation,
        "fingerprint": source.fingerprint,
        "train_count": len(source.train.labels),
        "test_count": len(source.test.labels) if source.test else None,
        "notes": [_without_path(note, info) for note in notes],
    }
