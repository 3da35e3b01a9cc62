"""What is settled before a dataset is made again: its recipe, and whether its source and its pool are to be had."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncfm_hub.errors import DistilledError, PipelineError, PoolError, SourceError
from ncfm_hub.evaluation.opening import recorded_place
from ncfm_hub.extractors.cache import architecture_name, pinned, pool_folder, pool_key
from ncfm_hub.extractors.finding import find_pool
from ncfm_hub.extractors.pool import read_pool
from ncfm_hub.machine.engine import open_engine
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources import inspect_source, is_validation, planned_validation, test_split_needed
from ncfm_hub.utils.named import NONE
from ncfm_hub.utils.places import LOCAL_SOURCE

# Sections without effect on what is distilled, or whose effect the comparison of machines shows.
_FREE = ("evaluation", "engine")


def changed_settings(recorded: Recipe, now: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ, by dotted key: as recorded, and now."""
    was, is_ = recorded.model_dump(), now.model_dump()
    return {
        f"{section}.{key}": (value, is_[section][key])
        for section, values in was.items()
        for key, value in values.items()
        if value != is_[section][key]
    }


def is_free(key: str) -> bool:
    """Return whether a setting by dotted key leaves the distilled images alone."""
    return key.partition(".")[0] in _FREE


def refuse_other_ways(target: str, described: Mapping[str, Any]) -> None:
    """Raise DistilledError for a dataset that one run of the recipe did not make."""
    if described.get("differs_from_all_at_once"):
        raise DistilledError(
            f"{target} was made in {len(described.get('parts') or [])} parts by --append, and differs from one "
            "distillation of all classes, which is what its recipe makes"
        )


def validated(described: Mapping[str, Any]) -> bool:
    """Return whether a dataset was made with --validation."""
    return is_validation(str((described.get("source") or {}).get("test_split")))


def check_source(described: Mapping[str, Any], recipe: Recipe, token: str | None) -> str:
    """Return where the source is. Raises SourceError if it is gone, or has changed.

    described: content of pipeline.yaml; recipe: the recorded one, with the source where it is to be read
    """
    spec, recorded = recipe.source, str(described["source"].get("fingerprint"))
    if spec.dataset.startswith(LOCAL_SOURCE):
        raise SourceError(
            f"{spec.dataset.removeprefix(LOCAL_SOURCE)!r} is a folder on another machine, and no copy of it is known "
            "here; name one by --dataset"
        )
    validation = validated(described)
    info = inspect_source(spec, token=token, test=test_split_needed(recipe.evaluation.students, validation))
    found = (planned_validation(info) if validation else info).fingerprint
    if found != recorded:
        same = info.content == described["source"].get("content")
        maker = (described.get("versions") or {}).get("ncfm_hub")
        why = (
            f"its files are the recorded ones, and ncfm-hub {maker} read them otherwise"
            if same
            else "its files have changed; name a copy of the recorded folder by --dataset"
        )
        raise SourceError(
            f"{info.dataset} is not the recorded source: fingerprint {found[:12]}, recorded {recorded[:12]}; {why}"
        )
    at = f" at {info.revision[:12]}" if info.revision else ""
    return f"{info.dataset}{at}, fingerprint {found[:12]}"


def place_of_pool(
    described: Mapping[str, Any], recipe: Recipe, given: str | None, changed: Mapping[str, Any], token: str | None
) -> str | None:
    """Return where the recorded pool is; None for one that the recipe trains or finds, NONE if it must train it.

    recipe: the recorded one; given: where the user says that the pool is; changed: settings that are not as recorded
    Raises PoolError if a pool that the recipe does not train is not to be had, or has other weights.
    """
    of_pool = described.get("pool") or {}
    by_recipe = bool(of_pool.get("trained_by_this_recipe"))
    anew = any(key.startswith(("pool.", "source.")) for key in changed)
    place = given or recorded_place(of_pool)
    if place == NONE and not by_recipe:
        raise PoolError("the recipe does not train the pool that it was made with; name that pool by --pool")
    if place in (None, NONE) or (by_recipe and anew and given is None):
        return given if anew or given == NONE else _of_another_key(described, recipe)
    if any(key.startswith("pool.") for key in changed):
        raise PipelineError("settings of the section `pool` have no effect: the dataset was made with a given pool")
    try:
        return _with_recorded_weights(place, str(of_pool.get("digest")), token)
    except PoolError:
        if by_recipe and given is None:  # published once, and no longer to be had
            return None
        raise


def _with_recorded_weights(place: str | Path, recorded: str, token: str | None) -> str:
    """Return `place` if the pool there has the recorded digest. Raises PoolError."""
    if isinstance(place, Path):
        raise PoolError(f"it was made with the extractor pool in {str(place)!r}, which is not here; name it by --pool")
    found = find_pool(place, token).digest
    if found != recorded:
        raise PoolError(f"{place} has other weights: their digest is {found[:12]}, and {recorded[:12]} is recorded")
    return place


def _of_another_key(described: Mapping[str, Any], recipe: Recipe) -> str | None:
    """Return the cache folder of the recorded weights if the recipe looks elsewhere now, as other versions do."""
    of_pool, source = described.get("pool") or {}, described["source"]
    engine = open_engine(recipe.engine.precision, recipe.engine.compile, build=False, device=recipe.engine.device)
    trained = pinned(recipe.pool)
    name = architecture_name(trained, recipe.source.resolution)
    now = pool_key(str(source.get("fingerprint")), recipe.source.flip, trained, name, engine)
    key = str(of_pool.get("key"))
    if key == now or not (key.isascii() and key.isalnum()):  # a stranger's file must not lead out of the cache
        return None
    folder = pool_folder(key)
    try:
        return str(folder) if read_pool(folder, "cache").digest == of_pool.get("digest") else None
    except PoolError:
        return None
