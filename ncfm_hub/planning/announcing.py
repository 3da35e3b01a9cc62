"""Warn before work that takes long, and suggest how to shorten it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources import SourceInfo
from ncfm_hub.utils.named import NONE
from ncfm_hub.utils.patience import speaking
from ncfm_hub.utils.progress import Progress

if TYPE_CHECKING:
    from ncfm_hub.machine.engine import Engine
    from ncfm_hub.networks.build import Architecture

LONG_MINUTES = 120  # longer work is announced
UNTRAINED = "to be trained"


def announce_pool(
    recipe: Recipe,
    source: SourceInfo,
    images: int,
    engine: "Engine",
    progress: Progress,
    *,
    pool: str | None = None,
    pipeline: str | None = None,
    token: str | None = None,
) -> dict[str, Any]:
    """Warn if training the pool on `images` images takes long; silent if the pool is there.

    Other arguments and the result: see `extractors_of`.
    """
    from ncfm_hub.planning.cost import pool_minutes

    with speaking(progress):
        extractor, described = extractors_of(recipe, source, pool, token, engine, pipeline)
    if described["origin"] == UNTRAINED:
        minutes = pool_minutes(recipe.pool, extractor, images, engine)
        announce(minutes, "--preset cpu, --set pool.size=N, --set pool.epochs=N", progress)
    return described


def announce_evaluation(
    recipe: Recipe,
    source: SourceInfo,
    decoded: int,
    images: tuple[int, int],
    engine: "Engine",
    progress: Progress,
    ranking: bool = False,
) -> float | None:
    """Return the estimated minutes to evaluate a dataset of `decoded` training images, and warn if they are many.

    images: number of training and test images of the source
    ranking: include the DD-Ranking metrics
    """
    from ncfm_hub.planning.cost import evaluate_minutes

    minutes = evaluate_minutes(recipe, student_network(source), decoded, *images, engine, ranking)
    announce(minutes, "--preset cpu, --students N, --set evaluation.updates=N", progress)
    return minutes


def announce(minutes: float | None, shorter: str, progress: Progress) -> None:
    """Report `minutes`, if known, if it is long, and how to shorten it."""
    if minutes is not None and minutes > LONG_MINUTES:
        progress.note(f"this takes about {minutes / 60:.1f} hours on this machine; to shorten it: {shorter}")


def student_network(source: SourceInfo) -> "Architecture":
    """Return the architecture of the students (evaluation networks).

    Its normalisation is unknown before images are read, and a plan does not need it.
    """
    from ncfm_hub.networks.build import Architecture, convnet_for

    plain = (0.5,) * source.channels
    name, classes = convnet_for(source.resolution), len(source.class_names)
    return Architecture(name, classes, source.channels, source.resolution, plain, plain)


def extractors_of(
    recipe: Recipe,
    source: SourceInfo,
    pool: str | None,
    token: str | None,
    engine: "Engine",
    pipeline: str | None = None,
) -> tuple["Architecture", dict[str, Any]]:
    """Return the extractors' architecture and the plan's entry on the pool.

    pool: folder or repository; None if the pool is found or trained, NONE if it must be one trained here
    pipeline: its name, to look for a published pool too
    """
    from ncfm_hub.extractors.cache import architecture_name, cached_pool, pinned, pool_key
    from ncfm_hub.extractors.finding import find_pool
    from ncfm_hub.extractors.pool import check_pool_fits
    from ncfm_hub.extractors.published import find_published
    from ncfm_hub.networks.build import backbone_of, check_network

    if pool is not None and pool != NONE:
        found = find_pool(pool, token)
        check_pool_fits(found, source.class_names, source.channels, source.resolution)
        architecture, members, origin = found.architecture, len(found.members), found.origin
        name = architecture.name
    else:
        trained = pinned(recipe.pool)
        name, members = architecture_name(trained, source.resolution), trained.size
        key = pool_key(source.fingerprint, recipe.source.flip, trained, name, engine)
        origin = "cache" if cached_pool(key, pulled=pool is None) else UNTRAINED
        if origin == UNTRAINED and pool is None and pipeline is not None:
            origin = find_published(key, pipeline, recipe.pool.published, token) or UNTRAINED
        architecture = replace(student_network(source), name=backbone_of(name) if name == trained.pretrained else name)
        check_network(architecture)
    return architecture, {"architecture": name, "members": members, "cached": origin == "cache", "origin": origin}


def published_in(described: Mapping[str, Any], pool: str | None) -> str | None:
    """Return the published pool that was found, as repository and commit; None if another is used or trained.

    described: from `extractors_of`; pool: as passed to it
    """
    return None if pool is not None or described["cached"] or described["origin"] == UNTRAINED else described["origin"]
