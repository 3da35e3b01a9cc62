"""What `pipeline.yaml` says: the resolved recipe, where the images come from, what they were made with and on."""

import datetime
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ncfm_hub._version import __version__
from ncfm_hub.engine import Engine
from ncfm_hub.errors import DistilledError
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.pipeline import ResolvedPipeline, preset_section
from ncfm_hub.publishing.layout import OWN_POOLS
from ncfm_hub.recipe import EngineRecipe, EvaluationRecipe, Recipe
from ncfm_hub.sources import Source

FORMAT = 1
_PACKAGES = ("torch", "timm", "datasets", "huggingface_hub", "accelerate")


def describe_run(
    pipeline: ResolvedPipeline,
    source: Source,
    pool: Pool,
    engine: Engine,
    *,
    ipc: int,
    seed: int,
    notes: tuple[str, ...],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The content of `pipeline.yaml`, in the order in which it is written. `seconds`: wall time by stage."""
    return {
        "ncfm_hub": FORMAT,
        "name": pipeline.name,
        "preset": pipeline.preset,
        "ipc": ipc,
        "seed": seed,
        "recipe": pipeline.recipe.model_dump(),
        "source": _describe_source(source, notes),
        "pool": {
            "key": pool.key,
            # The key says how a pool was made; two made alike on two machines differ in their last digits.
            "digest": pool.digest,
            "classes": pool.architecture.classes,
            "architecture": pool.architecture.name,
            "members": len(pool.members),
            "pretrained": pool.pretrained,
            "origin": pool.origin,
            # `recipe` has its section in any case: only a whole recipe can be read back and evaluated with.
            "trained_by_this_recipe": pool.origin in OWN_POOLS,
        },
        "versions": _versions(),
        "machine": engine.describe(),
        "wall_time_seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "created": _now(),
    }


def describe_import(
    pipeline: ResolvedPipeline, source: Source, imported: dict[str, Any], *, ipc: int, factor: int
) -> dict[str, Any]:
    """`pipeline.yaml` of a set that others made. Of its distillation only the factor is known.

    imported: the file it came from; the recipe's other sections say how the set and its baselines are measured.
    """
    recipe = pipeline.recipe.model_dump()
    return {
        "ncfm_hub": FORMAT,
        "name": pipeline.name,
        "preset": pipeline.preset,
        "ipc": ipc,
        "imported": imported,
        "recipe": recipe | {"distillation": {"factor": factor}},
        "source": _describe_source(source, source.notes),
        "versions": _versions(),
        "created": _now(),
    }


def recipe_of(described: dict[str, Any], folder: Path) -> Recipe:
    """The recipe that a `pipeline.yaml` says a set was made with, at the source's pinned revision.

    Raises DistilledError, naming the folder, if it holds none that this version can use.
    """
    try:
        values = {section: dict(content) for section, content in described["recipe"].items()}
        source = described["source"]
        if not source["is_local"]:  # a folder is found as the recipe names it; so are the packaged digits
            values["source"] |= {"dataset": source["dataset"], "revision": source["revision"]}
        if "imported" in described:  # no more is known than its factor; the rest makes only the baseline of DM
            assumed = preset_section("distillation", described["preset"])
            values["distillation"] = assumed | values["distillation"]
        for section, model in (("evaluation", EvaluationRecipe), ("engine", EngineRecipe)):
            # They do not describe the set, and other versions have other keys.
            values[section] = {key: value for key, value in values[section].items() if key in model.model_fields}
        return Recipe.model_validate(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # pydantic's is a ValueError
        raise DistilledError(f"{folder}/pipeline.yaml holds no usable recipe ({str(error).splitlines()[0]})") from None


def _versions() -> dict[str, str]:
    own = {"ncfm_hub": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in _PACKAGES}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _describe_source(source: Source, notes: tuple[str, ...]) -> dict[str, Any]:
    info = source.info
    return {
        "dataset": info.dataset,
        "is_local": info.is_local,
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
        "license": info.license,
        "license_name": info.license_name,
        "license_link": info.license_link,
        "citation": info.citation,
        "fingerprint": source.fingerprint,
        "train_count": len(source.train.labels),
        "test_count": len(source.test.labels) if source.test else None,
        "notes": list(notes),
    }
