"""Compare a published dataset with the one made again."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ncfm_hub.extractors.cache import pool_folder
from ncfm_hub.planning.sameness import machine_changes
from ncfm_hub.publishing.comparing.images import compare_pixels, compare_soft_labels
from ncfm_hub.publishing.comparing.records import compare_accuracies
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results
from ncfm_hub.publishing.verifying.result import Check
from ncfm_hub.reproducing.accuracies import figures_of, judge_accuracy
from ncfm_hub.reproducing.images import judge_images, judge_soft_labels
from ncfm_hub.reproducing.result import Found, line


def compare_sets(published: SetPlace, made: SetPlace, *, as_recorded: bool) -> tuple[tuple[Check, ...], dict[str, Any]]:
    """Return the checks and the differences of a published dataset and the one made again.

    as_recorded: whether it was made by the recorded settings, those of evaluation and engine apart
    """
    was, now = read_pipeline(published.folder), read_pipeline(made.folder)
    apart = _machine(was, now)
    same_pool = (was.get("pool") or {}).get("digest") == now["pool"]["digest"]
    alike = as_recorded and not apart
    exact = alike and same_pool
    one, other = read_data(published.folder), read_data(made.folder)
    pixels, labels = compare_pixels(one, other), compare_soft_labels(one, other)
    name = published.name
    checks = [
        line(name, "pool", lambda: _judge_pool(was, now, alike)),
        line(name, "machine", lambda: ("noted", "; ".join(apart)) if apart else ("passed", _described(now))),
        line(name, "images", lambda: judge_images((published.folder, one), (made.folder, other), pixels, exact)),
        line(name, "soft labels", lambda: judge_soft_labels(one, other, labels, exact)),
    ]
    claimed, measured = read_results(published.folder), read_results(made.folder)
    checks += _accuracies(name, claimed, measured, exact)
    accuracy = compare_accuracies(claimed, measured)
    return tuple(checks), {"pixels": pixels, "labels": labels, "accuracy": accuracy}


def _machine(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return why the same bytes are not to be expected of this machine; empty if they are."""
    device = now["machine"]["device"]
    unsure = [] if device == "cpu" else [f"on {device} no two runs are bound to give the same bits"]
    return machine_changes(was, now) + unsure


def _described(now: Mapping[str, Any]) -> str:
    machine, versions = now["machine"], now["versions"]
    return (
        f"the same: {machine['description']}, threads {machine['threads']}, {machine['precision']}, "
        f"ncfm-hub {versions['ncfm_hub']}, torch {versions['torch']}, timm {versions['timm']}"
    )


def _judge_pool(was: Mapping[str, Any], now: Mapping[str, Any], alike: bool) -> Found:
    """Compare the weights of the two pools. alike: whether the same settings and machine trained both."""
    recorded, found, origin = str((was.get("pool") or {}).get("digest")), now["pool"]["digest"], now["pool"]["origin"]
    if recorded == found:
        return "passed", f"{origin}: the same weights, {found[:12]}"
    said = f"{origin}: the weights are {found[:12]}, and {recorded[:12]} is recorded"
    if not alike:
        return "noted", said
    again = f"; remove {pool_folder(now['pool']['key'])}, which another run trained" if origin == "cache" else ""
    return "failed", f"{said}{again}"


def _accuracies(name: str | None, was: Mapping[str, Any], now: Mapping[str, Any], exact: bool) -> list[Check]:
    published, made = figures_of(was), figures_of(now)
    if not published:
        return [line(name, "accuracy", lambda: ("noted", "none is published"))]
    return [
        line(name, where, partial(judge_accuracy, where, figure, made.get(where), exact))
        for where, figure in published.items()
    ]
