"""Warn before work that takes long, and suggest how to shorten it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources import SourceInfo
from ncfm_hub.utils.progress import Progress

if TYPE_CHECKING:
    from ncfm_hub.machine.engine import Engine
    from ncfm_hub.networks.build import Architecture

LONG_MINUTES = 120  # longer work is announced
UNTRAINED = "to be trained"


def announce_pool(recipe: Recipe, source: SourceInfo, images: int, engine: "Engine", progress: Progress) -> None:
    """Warn if training the pool on `images` images takes long; silent if the pool is cached."""
    from ncfm_hub.planning.cost import pool_minutes

    extractor, described = extractors_of(recipe, source, None, None, engine)
    if described["origin"] == UNTRAINED:
        minutes = pool_minutes(recipe.pool, extractor, images, engine)
        announce(minutes, "--preset cpu, --set pool.size=N, --set pool.epochs=N", progress)


def announce_evaluation(
    recipe: Recipe,
    source: SourceInfo,
    decoded: int,
    images: tuple[int, int],
    engine: "Engine",
    progress: Progress,
    ranking: bool = False,
) -> None:
    """Warn if evaluating a dataset of `decoded` training images takes long.

    images: number of training and test images of the source
    ranking: include the DD-Ranking metrics
    """
    from ncfm_hub.planning.cost import evaluate_minutes

    minutes = evaluate_minutes(recipe, student_network(source), decoded, *images, engine, ranking)
    announce(minutes, "--preset cpu, --students N, --set evaluation.updates=N", progress)


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
    recipe: Recipe, source: SourceInfo, pool: str | None, token: str | None, engine: "Engine"
) -> tuple["Architecture", dict[str, Any]]:
    """Return the extractors' architecture and the plan's entry on the pool.

    pool: folder or repository; None if the pool is trained or cached
    """
    from ncfm_hub.extractors.cache import architecture_name, is_cached, pinned
    from ncfm_hub.extractors.pool import check_pool_fits, find_pool
    from ncfm_hub.networks.build import backbone_of, check_network

    if pool is not None:
        found = find_pool(pool, token)
        check_pool_fits(found, source.class_names, source.channels, source.resolution)
        architecture, members, origin = found.architecture, len(found.members), found.origin
        name = architecture.name
    else:
        trained = pinned(recipe.pool)
        name, members = architecture_name(trained, source.resolution), trained.size
        cached = is_cached(source.fingerprint, recipe.source.flip, trained, source.resolution, engine)
        origin = "cache" if cached else UNTRAINED
        architecture = replace(student_network(source), name=backbone_of(name) if name == trained.pretrained else name)
        check_network(architecture)
    return architecture, {"architecture": name, "members": members, "cached": origin == "cache", "origin": origin}
