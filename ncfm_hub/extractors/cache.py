"""Get an extractor pool: from the cache if one was trained under the same conditions, else by training it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.finding import find_pool
from ncfm_hub.extractors.members import describe_pool, open_again, train_missing
from ncfm_hub.extractors.pool import POOL_FILE, Pool, check_pool_fits, pool_folder, read_pool, timm_files_are_sound
from ncfm_hub.extractors.pulled import pull_pool, pulled_pools, read_pulled
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
from ncfm_hub.recipes.schema import NOT_OF_TRAINING, PoolRecipe, Recipe
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.named import NONE
from ncfm_hub.utils.places import LOCAL_WEIGHTS, public_weights
from ncfm_hub.utils.progress import Progress, Silent


def pool_key(fingerprint: str, flip: bool, recipe: PoolRecipe, architecture: str, engine: Engine) -> str:
    """Return the hex key of everything that determines a pool's bytes on one machine."""
    weights = public_weights(recipe.pretrained)  # independent of where a local folder is
    described = {
        "format": 5,
        "source": fingerprint,
        "flip": flip,
        "recipe": recipe.model_dump(exclude=set(NOT_OF_TRAINING)) | {"pretrained": weights},
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


def key_of_recipe(recipe: Recipe, fingerprint: str, resolution: int, engine: Engine) -> str:
    """Return the key of the pool that a recipe trains for a source, its weights pinned to their current commit."""
    trained = pinned(recipe.pool)
    return pool_key(fingerprint, recipe.source.flip, trained, architecture_name(trained, resolution), engine)


def cached_pool(key: str, *, pulled: bool = True) -> Path | None:
    """Return the folder in the cache of a complete pool with this key: of one trained here, else of a pulled one.

    pulled: whether it may be a pulled one
    """
    here = pool_folder(key)
    if (here / POOL_FILE).is_file():
        return here
    return next(iter(pulled_pools(key)), None) if pulled else None


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


def get_pool(
    source: Source,
    flip: bool,
    recipe: PoolRecipe,
    engine: Engine,
    progress: Progress | None = None,
    *,
    pulled: bool = True,
    published: str | None = None,
    token: str | None = None,
) -> Pool:
    """Return the pool for a source, training it if it is not cached; several processes share the members.

    pulled: whether it may be one that was pulled from the Hub
    published: repository and commit of one to pull, if the cache has none
    """
    progress = progress or Silent()
    unpinned = recipe
    recipe = engine.decide_once(lambda: pinned(unpinned))
    name = architecture_name(recipe, source.info.resolution)
    key = pool_key(source.fingerprint, flip, recipe, name, engine)
    folder = pool_folder(key)
    found = _from_cache(folder, engine)
    if found is None and pulled:
        found = _pulled(partial(_check_as_trained, source, recipe, name, key), key, published, token, engine, progress)
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


def _pulled(
    check: Callable[[Pool], None],
    key: str,
    published: str | None,
    token: str | None,
    engine: Engine,
    progress: Progress,
) -> Pool | None:
    """Return a pulled pool with this key, in all processes; None if there is none that passes the check."""

    def choose() -> Path | None:
        pools = [partial(read_pulled, folder) for folder in pulled_pools(key)]
        for pool in (*pools, *([partial(pull_pool, published, token=token)] if published else ())):
            try:
                check(found := pool())
                return found.folder
            except PoolError as error:
                progress.note(f"{error}; this pool is not used")
        return None

    chosen = engine.decide_once(choose)
    return None if chosen is None else replace(read_pulled(chosen), claims_recipe=True)


def _check_as_trained(source: Source, recipe: PoolRecipe, name: str, key: str, pool: Pool) -> None:
    """Raise PoolError unless a pulled pool is what training with these settings gives, as far as that can be seen."""
    info, architecture = source.info, pool.architecture
    found = (pool.key, len(pool.members), pool.class_names, architecture.channels, architecture.resolution)
    wanted = (key, recipe.size, info.class_names, info.channels, info.resolution)
    other = not is_place(name) and architecture.name.split(".")[0] != name.split(".")[0]
    if found != wanted or other:
        raise PoolError(f"{pool.origin} is not what its key says: other members, classes, image size or architecture")


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
    source: Source,
    recipe: Recipe,
    place: str | None,
    engine: Engine,
    token: str | None,
    progress: Progress,
    *,
    published: str | None = None,
    keep: bool = False,
) -> Pool:
    """Return the pool at `place` if given, else from the cache, else published, else trained; reports which.

    place: a folder or Hub repository; NONE for a pool trained here
    published: repository and commit of a pool that states the key of the recipe, see `find_published`
    keep: put a pool of the Hub into the cache, so that its folder holds all of its files
    """
    if place is None or place == NONE:
        pool = get_pool(
            source,
            recipe.source.flip,
            recipe.pool,
            engine,
            progress,
            pulled=place is None,
            published=published,
            token=token,
        )
        how = ", trained with the same settings" if pool.claims_recipe else ""
    else:
        pool, how = _given(place, engine, token, keep), ", as given"
        check_pool_fits(pool, source.info.class_names, source.info.channels, source.info.resolution)
    progress.note(f"extractor pool: {len(pool.members)} x {pool.architecture.name}, {pool.origin}{how}")
    return pool


def _given(place: str, engine: Engine, token: str | None, keep: bool) -> Pool:
    if not keep or Path(place).expanduser().is_dir():
        return find_pool(place, token)
    folder = engine.decide_once(lambda: pull_pool(place, token=token).folder)
    assert folder is not None
    return read_pulled(folder)
