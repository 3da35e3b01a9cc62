"""Decide whether classes distilled separately equal those of one distillation, bit for bit.

The result of a class depends on no other class: random draws are keyed by its label in the source, and the objective is
divided by the number of classes that the extractors know. This holds unless a setting couples classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.planning.appending import Addition
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources import SourceInfo

_VERSIONS = ("ncfm_hub", "torch", "timm")
_MACHINE = ("device", "description", "threads", "precision", "compile", "native")
# Without effect on the images, or compared as units of work.
_NOT_COMPARED = ("checkpoint_every", "classes_at_once")


def differences(addition: Addition, now: Mapping[str, Any], info: SourceInfo) -> list[str]:
    """Return why the images may differ from those of one distillation of all classes; empty if they are equal.

    now: pipeline.yaml of the run that makes the new classes
    info: the source with all classes
    """
    before, recipe = addition.described, addition.pipeline.recipe
    found = ["the dataset that was added to differs already"] if before.get("differs_from_all_at_once") else []
    if before.get("pool", {}).get("digest") != now["pool"]["digest"]:
        found.append("the extractor pool is not the one the dataset was made with")
    if addition.source_changed:
        found.append("the source is not as it was")
    found += _changes(_compared(addition.recipe), _compared(recipe))
    if recipe.distillation.sampling_network:
        found.append("the sampling network learns from all classes (--no-sampling-network)")
    if recipe.distillation.schedule == "plateau":
        found.append("the schedule 'plateau' follows the losses of all classes")
    device = str(now["machine"]["device"])
    if device != "cpu":
        found.append(f"on {device} no two runs are bound to give the same bits")
    if not _same_units(addition, info, device):
        found.append("classes that are computed together are others (distillation.classes_at_once=1 takes each alone)")
    return found + machine_changes(before, now)


def machine_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what else the bits depend on and is not as it was: versions, device, threads, precision and kernels.

    before, now: pipeline.yaml of two runs
    """
    found: list[str] = []
    for section, keys in (("versions", _VERSIONS), ("machine", _MACHINE)):
        there = before.get(section) or {}
        found += _changes({key: there.get(key) for key in keys}, {key: now[section][key] for key in keys})
    return found


def _compared(recipe: Recipe) -> dict[str, Any]:
    values = recipe.distillation.model_dump(exclude=set(_NOT_COMPARED))
    return {f"distillation.{key}": value for key, value in values.items()} | {"source.flip": recipe.source.flip}


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [f"{key} was {before[key]} and is {now[key]}" for key in now if before[key] != now[key]]


def _same_units(addition: Addition, info: SourceInfo, device: str) -> bool:
    """Return whether units of work hold the same classes as in one distillation of all classes.

    The bits of a matrix product can depend on its number of rows.
    """
    recipe = addition.pipeline.recipe

    def units(class_names: Sequence[str], recipe: Recipe) -> set[tuple[str, ...]]:
        names = tuple(class_names)
        some = replace(info, class_names=names)
        values = settings_of(recipe.distillation, some, recipe.source.flip, device)
        each = values.classes_at_once
        return {names[first : first + each] for first in range(0, len(names), each)}

    apart = units(addition.there.class_names, addition.recipe) | units(addition.new, recipe)
    return apart == units(info.class_names, recipe)
