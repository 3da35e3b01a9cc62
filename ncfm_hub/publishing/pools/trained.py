"""Find the pool in the cache that was trained with a pipeline's settings, and name its repository."""

from pathlib import Path

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.cache import cached_pool, key_of_recipe
from ncfm_hub.extractors.pool_file import read_pool_file
from ncfm_hub.extractors.published import pool_repo_name
from ncfm_hub.machine.engine import open_engine
from ncfm_hub.publishing.hub.held import held_pool
from ncfm_hub.recipes.resolve import ResolvedPipeline
from ncfm_hub.sources import inspect_source


def pool_of_pipeline(pipeline: ResolvedPipeline, token: str | None = None) -> Path:
    """Return the folder in the cache of the pool that `pretrain` trains for a pipeline. Raises PoolError if none is."""
    recipe = pipeline.recipe
    source = inspect_source(recipe.source, token=token, test="if there")
    engine = open_engine(recipe.engine.precision, recipe.engine.compile, device=recipe.engine.device)
    found = cached_pool(key_of_recipe(recipe, source.fingerprint, source.resolution, engine))
    if found is None:
        raise PoolError(
            f"no extractor pool with these settings of {pipeline.name} is in the cache (`ncfm-hub pool list`); train "
            "and push it with `ncfm-hub pretrain --push`"
        )
    return found


def repo_name_of(folder: Path) -> str:
    """Return the default repository of a pool, without the owner, by the dataset that it was trained on."""
    described, _ = read_pool_file(folder, str(folder))
    held = held_pool(described)
    dataset = held.dataset if held else None
    return pool_repo_name((dataset or folder.resolve().name).rpartition("/")[2].lower())
