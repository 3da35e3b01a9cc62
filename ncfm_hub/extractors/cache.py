"""Get an extractor pool: from the cache if one was trained under the same conditions, else by training it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import timm
import torch

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.members import describe_pool, open_again, train_missing
from ncfm_hub.extractors.pool import POOL_FILE, Pool, check_pool_fits, find_pool, read_pool, timm_files_are_sound
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.locks import one_run
from ncfm_hub.networks.build import (
    Architecture,
    build_network,
    channel_statistics,
    check_backbone,
    check_network,
    convnet_for,
    is_place,
    name_of,
    pretrained_name,
)
from ncfm_hub.recipes.schema import PoolRecipe, Recipe
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.files import cache_root
from ncfm_hub.utils.places import LOCAL_WEIGHTS, public_weights
from ncfm_hub.utils.progress import Progress, Silent


def pool_key(fingerprint: str, flip: bool, recipe: PoolRecipe, architecture: str, engine: Engine) -> str:
    """Return the hex key of everything that determines a pool's bytes on one machine."""
    weights = public_weights(recipe.pretrained)  # independent of where a local folder is
    described = {
        "format": 5,
        "source": fingerprint,
        "flip": flip,
        "recipe": recipe.model_dump() | {"pretrained": weights},
        "architecture": weights if architecture == recipe.pretrained else architecture,
        "computed": [engine.device.type, engine.precision, engine.compiled, engine.native],
        "versions": [torch.__version__, timm.__version__],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def architecture_name(recipe: PoolRecipe, resolution: int) -> str:
    """Return the backbone of a recipe at a resolution. Raises PoolError if its weights are of a different one."""
    if recipe.backbone and is_place(recipe.backbone):
        raise PoolError(
            f"pool.backbone (--backbone) is {recipe.backbone!r}, where weights lie, and no name of timm's; name the "
            f"weights by --pretrained {recipe.backbone}, and leave --backbone out"
        )
    if recipe.backbone and recipe.pretrained:
        check_backbone(recipe.backbone, recipe.pretrained)
    if recipe.backbone:
        return recipe.backbone
    return recipe.pretrained if recipe.pretrained else convnet_for(resolution)


def pool_folder(key: str) -> Path:
    """Return the cache folder of a pool."""
    return cache_root() / "pools" / key


def is_cached(fingerprint: str, flip: bool, recipe: PoolRecipe, resolution: int, engine: Engine) -> bool:
    """Return whether a complete pool for this source and recipe is in the cache; the recipe must be `pinned`."""
    key = pool_key(fingerprint, flip, recipe, architecture_name(recipe, resolution), engine)
    return (pool_folder(key) / POOL_FILE).is_file()


def pinned(recipe: PoolRecipe) -> PoolRecipe:
    """Return the recipe with Hub weights pinned to their current commit, since a branch name may move.

    Offline, the last downloaded commit is used. Raises PoolError if the weights are not available.
    """
    kind, _, place = (recipe.pretrained or "").partition(":")
    if f"{kind}:" == LOCAL_WEIGHTS:
        raise PoolError(
            f"the extractor pool starts from weights in {place.partition('@')[0]!r} on another machine, which are not "
            "known here; name a pool with --pool"
        )
    if kind not in ("hf-hub", "hf_hub"):
        return recipe
    from huggingface_hub import hf_hub_download

    from ncfm_hub.utils.hub_errors import expected_errors, explain
    from ncfm_hub.utils.waiting import patient

    name, _, revision = place.partition("@")
    try:
        with patient():
            configuration = hf_hub_download(name, "config.json", revision=revision or None)
    except expected_errors() as error:
        raise PoolError(f"the weights cannot be fetched: {explain(error, name, revision=revision or None)}") from None
    return recipe.model_copy(update={"pretrained": f"hf-hub:{name}@{Path(configuration).parent.name}"})


def get_pool(source: Source, flip: bool, recipe: PoolRecipe, engine: Engine, progress: Progress | None = None) -> Pool:
    """Return the pool for a source, training it if it is not cached; several processes share the members."""
    progress = progress or Silent()
    unpinned = recipe
    recipe = engine.decide_once(lambda: pinned(unpinned))
    name = architecture_name(recipe, source.info.resolution)
    key = pool_key(source.fingerprint, flip, recipe, name, engine)
    folder = pool_folder(key)
    found = _from_cache(folder, engine)
    if found is not None:
        return found
    weights = pretrained_name(recipe.backbone, recipe.pretrained) if recipe.pretrained else None
    architecture = _describe(source, name, weights)
    check_network(architecture)
    # Held until the pool is complete, so that a second run waiting here never sees a partial one.
    with one_run(folder / ".lock", engine, progress, "training this pool"):
        found = _from_cache(folder, engine)
        if found is not None:
            return found
        engine.decide_once(lambda: open_again(folder, progress))
        process, processes = engine.accelerator.process_index, engine.accelerator.num_processes
        mine = [member for member in range(recipe.size) if member % processes == process]
        train_missing(source, flip, recipe, architecture, weights, engine, folder, mine, progress)
        engine.accelerator.wait_for_everyone()
        if engine.accelerator.is_main_process:
            describe_pool(source, recipe, architecture, key, folder)
    return read_pool(folder, "trained here")


def _from_cache(folder: Path, engine: Engine) -> Pool | None:
    """Return the pool in a cache folder; None, in all processes, unless it is complete and undamaged."""

    def read() -> Pool | None:
        try:
            return read_pool(folder, "cache") if timm_files_are_sound(folder) else None
        except PoolError:
            return None

    mine = read() if engine.accelerator.is_main_process else None
    if not engine.decide_once(lambda: mine is not None):
        return None
    return mine or read_pool(folder, "cache")


def _describe(source: Source, name: str, weights: str | None) -> Architecture:
    info = source.info
    mean, std = channel_statistics(source.train.images)
    architecture = Architecture(name, len(info.class_names), info.channels, info.resolution, mean, std)
    if weights is None:
        return architecture
    # Pretrained weights need their own normalisation, and their configuration may name the architecture.
    network: Any = build_network(architecture, weights)
    config = network.pretrained_cfg
    matches = len(config["mean"]) == info.channels
    return Architecture(
        name_of(network),
        architecture.classes,
        info.channels,
        info.resolution,
        tuple(config["mean"]) if matches else mean,
        tuple(config["std"]) if matches else std,
    )


def get_extractors(
    source: Source, recipe: Recipe, place: str | None, engine: Engine, token: str | None, progress: Progress
) -> Pool:
    """Return the pool at `place` if given, else from the cache, else trained."""
    if place is None:
        return get_pool(source, recipe.source.flip, recipe.pool, engine, progress)
    pool = find_pool(place, token)
    check_pool_fits(pool, source.info.class_names, source.info.channels, source.info.resolution)
    return pool
