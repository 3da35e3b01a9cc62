"""Open a dataset for evaluation: a folder or Hub repository, with its source, recipe and engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.errors import DistilledError
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.machine.engine import open_engine
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.layout import OWN_POOLS, PIPELINE, TENSORS
from ncfm_hub.publishing.dataset.loading import locate
from ncfm_hub.publishing.dataset.provenance import is_hub_pool, recipe_of
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.recipes.resolve import change_evaluation, resolve
from ncfm_hub.recipes.schema import Recipe, SourceRecipe
from ncfm_hub.sources import Source, TestSplit, cut_validation, is_validation, load_source
from ncfm_hub.sources.single import load_labelled_images
from ncfm_hub.utils.named import Named, text_of
from ncfm_hub.utils.places import folder_name, recall
from ncfm_hub.utils.progress import Progress, Silent


@dataclass(frozen=True)
class SubjectOptions:
    """How to open a dataset for evaluation.

    source: pipeline, Hub id, local folder or pipeline file; for a dataset made by ncfm-hub another copy of its source,
        with the same classes, size and channels
    preset, overrides: for a dataset made by ncfm-hub limited to the sections `evaluation` and `engine`, on top of its
        recipe
    pool: folder or Hub repository of an extractor pool, in place of the one it was made with
    revision: branch, tag or commit of a Hub repository
    token: Hub token; default: the one you are logged in with
    test: how the source's test split is used
    """

    source: Named | None = None
    preset: str | None = None
    overrides: Mapping[str, Any] | None = None
    pool: Named | None = None
    revision: str | None = None
    token: str | None = None
    test: TestSplit = "required"


_AS_MADE = SubjectOptions()


def open_subject(target: Named, options: SubjectOptions = _AS_MADE, progress: Progress | None = None) -> Subject:
    """Load a distilled dataset and the source it is evaluated on.

    target: folder or dataset repository. A dataset made by ncfm-hub records its source and recipe; any other has an
        image and a label column, is read from its training split, and needs a source in `options`
    Raises DistilledError if the target is unusable or its source has other classes, PipelineError for settings that
    cannot be changed.
    """
    progress = progress or Silent()
    target, source, token = text_of(target), text_of(options.source), options.token
    folder = _ours(target, options.revision, token)
    if folder is None:
        return _open_foreign(target, options, progress)
    described, distilled = read_pipeline(folder), read_data(folder)
    recipe = recipe_of(described, folder / PIPELINE)
    if source is not None:
        recipe = recipe.model_copy(update={"source": _other_copy(recipe.source, resolve(source, None, None).recipe)})
    recipe = change_evaluation(recipe, options.preset, options.overrides)
    _check_size(target, distilled, recipe.source)
    engine = open_engine(recipe.engine.precision, recipe.engine.compile, progress, device=recipe.engine.device)
    named = described.get("source", {})
    if source is None and "test_split" in named and named["test_split"] is None and options.test == "required":
        raise DistilledError(
            f"{target} was distilled from {named.get('dataset')}, which had no test split; name a source that has one "
            "by --source"
        )
    unread = is_validation(str(named.get("test_split")))
    found = _read(recipe.source, token, progress, "unread" if unread else options.test)
    if unread:  # the dataset was made with a validation split, so it is evaluated on the same one
        found = cut_validation(found)
    _check_fits(target, distilled, found)
    imported = "imported" in described
    if found.fingerprint != named.get("fingerprint") and not imported:
        progress.note(
            "the source differs from the one that was distilled; the initialisation is drawn from the present one"
        )
    of_pool = described.get("pool") or {}
    return Subject(
        name=target,
        images=distilled.images,
        labels=distilled.labels,
        soft_labels=None if _one_hot(distilled) else distilled.soft_labels,
        ipc=distilled.ipc,
        stored=len(distilled.stored),
        factor=None if imported else distilled.factor,
        source=found,
        recipe=recipe,
        engine=engine,
        place=text_of(options.pool) or recorded_place(of_pool),
        teachers=of_pool.get("digest"),
        token=token,
        folder=folder,
        parts=None if imported else len(described.get("parts") or [described]),
    )


def recorded_place(of_pool: Mapping[str, Any]) -> str | Path | None:
    """Return where pipeline.yaml says that the pool came from: a Hub repository and commit, or a folder known here.

    None for a pool made by the recipe; a Path for a folder that is unknown on this machine, and must not be opened.
    """
    origin = of_pool.get("origin")
    if origin in (None, *OWN_POOLS):
        return None
    if is_hub_pool(str(origin)):
        return str(origin)
    # A folder on the author's machine: found by its content here, or else only mentioned.
    known = recall(of_pool.get("digest"))
    return str(known) if known else Path(folder_name(str(origin)))


def _read(recipe: SourceRecipe, token: str | None, progress: Progress, test: TestSplit) -> Source:
    """Read a source and say what a user should know of it, such as how many images were left out."""
    found = load_source(recipe, token=token, progress=progress, test=test)
    for note in found.notes:
        progress.note(note)
    return found


def _check_fits(target: str, distilled: Distilled, found: Source) -> None:
    if found.info.class_names != distilled.class_names:
        raise DistilledError(
            f"{target} holds the classes {_some(distilled.class_names)}; "
            f"its source {found.info.dataset} gives {_some(found.info.class_names)}"
        )


def _check_size(target: str, distilled: Distilled, source: SourceRecipe) -> None:
    """Reject a mismatch before the source is read: a third-party recipe could make it fill the memory."""
    asked, there = (source.channels, source.resolution, source.resolution), tuple(distilled.images.shape[1:])
    if asked != there:
        raise DistilledError(
            f"{target} holds images of {there} (channels, height, width); its recipe reads the source as {asked}"
        )


def _other_copy(source: SourceRecipe, named: Recipe) -> SourceRecipe:
    """Return the source with another place, columns and splits; how images are processed stays."""
    places = ("dataset", "config", "revision", "image_column", "label_column", "train_split", "test_split")
    return source.model_copy(update={name: getattr(named.source, name) for name in places})


def _one_hot(distilled: Distilled) -> bool:
    """Return whether soft labels are one-hot, as for an import without soft labels."""
    soft = distilled.soft_labels
    sure = bool((soft.gather(1, distilled.labels[:, None]) == 1).all())
    return sure and int(soft.count_nonzero()) == len(soft)


def _ours(target: str, revision: str | None, token: str | None) -> Path | None:
    """Return the folder of a dataset made by ncfm-hub, downloading it if necessary; None for any other."""
    folder = locate(target, revision=revision, token=token)
    has = [name for name in (PIPELINE, TENSORS) if (folder / name).is_file()]
    return folder if has else None


def _open_foreign(target: str, options: SubjectOptions, progress: Progress) -> Subject:
    source, token = text_of(options.source), options.token
    if source is None:
        raise DistilledError(f"{target} is a third-party dataset that does not name its source; give it with --source")
    recipe = resolve(source, options.preset, options.overrides).recipe
    engine = open_engine(recipe.engine.precision, recipe.engine.compile, progress, device=recipe.engine.device)
    found = _read(recipe.source, token, progress, options.test)
    images, soft_labels = load_labelled_images(target, options.revision, found.info, token=token, progress=progress)
    classes = len(found.info.class_names)
    counts, ipc = torch.bincount(images.labels, minlength=classes), -(-len(images.labels) // classes)
    if counts.min() != counts.max():
        progress.note(
            f"{target} has from {int(counts.min())} to {int(counts.max())} images a class; what it is compared with "
            f"has {ipc} of each"
        )
    return Subject(
        name=target,
        images=images.images,
        labels=images.labels,
        soft_labels=soft_labels,
        ipc=ipc,
        stored=len(images.labels),
        factor=None,
        source=found,
        recipe=recipe,
        engine=engine,
        place=text_of(options.pool) or recipe.pool.use,
        token=token,
    )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")
