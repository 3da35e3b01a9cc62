"""Append classes to an existing distilled dataset.

The old images and their files stay unchanged; the larger dataset is written to a new folder. Its classes are in the
source's order, as if all had been distilled at once.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError, PipelineError
from ncfm_hub.publishing.dataset.layout import PIPELINE
from ncfm_hub.publishing.dataset.loading import find, split_target
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.publishing.dataset.provenance import recipe_of
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.recipes.resolve import ResolvedPipeline, change_recipe
from ncfm_hub.recipes.schema import Recipe, SourceRecipe
from ncfm_hub.sources import SourceInfo, inspect_source, is_validation, test_split_needed
from ncfm_hub.utils.places import folder_name

if TYPE_CHECKING:
    import torch

    from ncfm_hub.publishing import Distilled

# Keys of pipeline.yaml that all images of a dataset share.
_SHARED = ("config", "image_column", "label_column", "train_split", "test_split", "resolution", "channels")
# Keys of pipeline.yaml that differ between the parts of an appended dataset.
_OF_A_PART = ("seed", "pool", "versions", "machine", "wall_time_seconds", "created")


@dataclass(frozen=True)
class Addition:
    """Classes to append.

    target: the dataset they are added to, a folder or a repository with its commit
    repo_id: that repository; None for a folder
    place: where it lies
    described: content of its pipeline.yaml
    recipe: the recipe it was made with
    there: its content
    pipeline: used to distill the new classes and to evaluate all; its source covers all of them
    new: names of the new classes, in the source's order
    source_changed: whether images or labels of the old classes have changed in the source
    """

    target: str
    repo_id: str | None
    place: SetPlace
    described: dict[str, Any]
    recipe: Recipe
    there: "Distilled"
    pipeline: ResolvedPipeline
    new: tuple[str, ...]
    source_changed: bool

    def with_old(
        self, stored: "torch.Tensor", images: "torch.Tensor", class_names: Sequence[str]
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Merge the existing images with those of the new classes; returns stored and decoded images, uint8.

        class_names: all classes, in the order of the result
        """
        import torch

        there = self.there
        parts = dict(zip(there.class_names, _by_class(there.stored, there.images, len(there.class_names)), strict=True))
        parts |= zip(self.new, _by_class(stored, images, len(self.new)), strict=True)
        return torch.cat([parts[name][0] for name in class_names]), torch.cat([parts[name][1] for name in class_names])

    def entries(self, described: Mapping[str, Any], differences: Sequence[str]) -> dict[str, Any]:
        """Return the additional entries of pipeline.yaml.

        They name the dataset added to, its parts in the order in which they were made, and why the images may differ
        from one distillation of all classes (`differences`).
        """
        before = self.described.get("parts") or [_part(self.described, self.there.class_names)]
        return {
            "added_to": self.target if self.repo_id else folder_name(self.target),
            "differs_from_all_at_once": list(differences),
            "parts": [*before, _part(described, self.new)],
        }


def plan_addition(
    target: str,
    output: Path | None,
    name: str | None,
    asked: ResolvedPipeline,
    overrides: Mapping[str, Any] | None,
    token: str | None,
) -> Addition:
    """Plan which classes to append to the dataset at `target`, a folder or Hub repository; reads no source images.

    output, name: as given by the user, else None
    asked: the user's pipeline, of which only source and classes are used; all other settings are those of the existing
        dataset, changed by `overrides`
    Raises DistilledError if the existing dataset and the request are incompatible.
    """
    place = find(target, token=token)
    folder = place.folder
    described, there = read_pipeline(folder), read_data(folder)
    repo_id = None if Path(target).expanduser().is_dir() else split_target(target)[0]
    if repo_id:
        target = f"{repo_id}@{place.root.name}"  # a snapshot's folder is named after its commit
    recipe = recipe_of(described, folder / PIPELINE)
    _check_can_grow(target, described)
    if output is not None and output.resolve() == place.root.resolve() and name in (None, place.name):
        raise DistilledError(f"{target} stays as it is; name another folder for the larger dataset with --output")
    changed = change_recipe(recipe, {key: value for key, value in (overrides or {}).items() if key != "source.classes"})
    _check_alike(target, "ipc", there.ipc, changed.distillation.ipc)
    _check_alike(target, "seed", recipe.distillation.seed, changed.distillation.seed)
    _check_alike(target, "distillation.factor", there.factor, changed.distillation.factor)
    spec = _source_asked(asked.recipe.source, changed.source, described["source"])
    needed = test_split_needed(changed.evaluation.students, False)
    came = inspect_source(spec, token=token, least_classes=1, test=needed)
    old = spec.model_copy(update={"classes": list(there.class_names)})
    was = inspect_source(old, token=token, least_classes=1, test=needed)
    source_changed = _check_source(target, described["source"], was)
    _check_classes(target, there.class_names, was, came)
    label = dict(zip(came.class_names + was.class_names, came.class_ids + was.class_ids, strict=True))
    new = tuple(sorted(came.class_names, key=lambda name: label[name]))
    source = spec.model_copy(update={"classes": sorted(label, key=lambda name: label[name])})
    pipeline = ResolvedPipeline(
        str(described.get("name", asked.name)),
        str(described.get("preset", asked.preset)),
        changed.model_copy(update={"source": source}),
        (f"{target}/pipeline.yaml", *(["command line"] if overrides else [])),
    )
    return Addition(target, repo_id, place, described, recipe, there, pipeline, new, source_changed)


def refuse_with_append(preset: str | None, validation: bool) -> None:
    """Raise PipelineError for options that would make new classes differ from the old ones."""
    if preset is not None or validation:
        raise PipelineError(
            f"{'--preset' if preset else '--validation'} does not go with --append: classes keep the dataset's "
            "own settings; override single ones with --set"
        )


def _check_can_grow(target: str, described: Mapping[str, Any]) -> None:
    if "imported" in described:
        raise DistilledError(f"{target} was imported; classes can only be added to datasets made by `distill`")
    if is_validation(str(described["source"].get("test_split", ""))):
        raise DistilledError(
            f"{target} was distilled without the part of its source that it is measured on, which depends on the "
            "classes; add to a dataset made without --validation"
        )


def _source_asked(asked: SourceRecipe, as_before: SourceRecipe, was: Mapping[str, Any]) -> SourceRecipe:
    """Return the source of the new classes: columns, splits and size as before, at the earlier commit by default."""
    if asked.classes is None:
        raise PipelineError("name the classes that are to be added by --classes")
    same = asked.dataset == was.get("dataset") or "{user}" in asked.dataset
    revision = asked.revision or (was.get("revision") if same else None)
    return as_before.model_copy(update={"dataset": asked.dataset, "revision": revision, "classes": asked.classes})


def _check_source(target: str, before: Mapping[str, Any], now: SourceInfo) -> bool:
    """Return whether the images of the old classes have changed.

    before: from pipeline.yaml; now: the source with the old classes only
    """
    changed = bool(now.fingerprint != before.get("fingerprint"))
    if changed:
        _check_alike(target, "source", before.get("dataset"), now.public_name)
    for key in _SHARED:
        _check_alike(target, key.replace("_", " "), before.get(key), getattr(now, key))
    return changed


def _check_classes(target: str, names: tuple[str, ...], was: SourceInfo, came: SourceInfo) -> None:
    gone = [name for name, found in zip(names, was.class_names, strict=True) if name != found]  # numbers are indices
    if gone:
        raise DistilledError(f"{target} has the class {gone[0]!r}, which {was.dataset} has not")
    twice = [name for name in came.class_names if name in names]
    if twice:
        raise DistilledError(f"{target} has the class {twice[0]!r} already; name only new ones by --classes")


def _check_alike(target: str, what: str, there: object, asked: object) -> None:
    if there != asked:
        raise DistilledError(
            f"{target} was made with {what} {there}, and {asked} is asked for; a dataset has one of them"
        )


def _part(described: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
    of_run = {key: described[key] for key in _OF_A_PART if key in described}
    part = {"classes": list(class_names), "distillation": described["recipe"]["distillation"]} | of_run
    return copy.deepcopy(part)  # YAML writes a shared object as a reference


def _by_class(
    stored: "torch.Tensor", images: "torch.Tensor", classes: int
) -> "list[tuple[torch.Tensor, torch.Tensor]]":
    return list(zip(stored.chunk(classes), images.chunk(classes), strict=True))
