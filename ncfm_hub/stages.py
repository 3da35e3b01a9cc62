"""The stages of a run, each as a function of the recipe and the previous stage's result."""

import shutil
import statistics
from pathlib import Path
from typing import Any

import torch
import yaml

from ncfm_hub.distillation.loop import Distillation, distill_images, floor_of
from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.errors import CheckpointError, DistilledError
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.extractors.soft_labels import soft_labels
from ncfm_hub.machine.engine import Engine
from ncfm_hub.planning.appending import Addition
from ncfm_hub.planning.plan import Plan
from ncfm_hub.planning.sameness import differences
from ncfm_hub.publishing import Distilled, contact_sheet, decode_stored, to_pixels, write_data
from ncfm_hub.publishing.dataset.layout import CARD, PIPELINE, PREVIEW, RESULTS
from ncfm_hub.publishing.dataset.place import find_set
from ncfm_hub.publishing.dataset.provenance import describe_run, remember_places
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources import Source, TestSplit, cut_validation, load_source, too_small_notes
from ncfm_hub.sources.subset import only_classes
from ncfm_hub.utils.files import whole_file, write_json, write_text
from ncfm_hub.utils.progress import Progress

CHECKPOINT = "distillation.safetensors"


def read_source(recipe: Recipe, test: TestSplit, token: str | None, progress: Progress) -> Source:
    """Load the source, with a validation split in place of a test split that must stay unread.

    Reports notes about the source, such as images too small for the resolution, to `progress`.
    """
    source = load_source(recipe.source, token=token, progress=progress, test=test)
    if test == "unread":
        source = cut_validation(source)
    for note in (
        *source.notes,
        *too_small_notes(source, (recipe.distillation.ipc or 1) * recipe.distillation.factor**2),
    ):
        progress.note(note)
    return source


def part_to_make(source: Source, pool: Pool, settled: Plan, engine: Engine, progress: Progress) -> Source:
    """Return the classes to distill now: all of the source, or the new ones of an appended dataset.

    When appending, reports whether the images will equal those of one distillation of all classes.
    """
    addition = settled.addition
    if addition is None:
        return source
    now = describe_run(settled.pipeline, source, pool, engine, notes=(), seconds={})
    found = differences(addition, now, source.info)
    at_once = f"those of one distillation of all {len(source.info.class_names)} classes"
    verdict = f"may differ from {at_once}: {'; '.join(found)}" if found else f"equal {at_once}, bit for bit"
    progress.note(f"the images {verdict}")
    return only_classes(source, addition.new)


def make_images(
    source: Source,
    pool: Pool,
    recipe: Recipe,
    engine: Engine,
    work: Path,
    resume: bool,
    progress: Progress,
) -> Distillation:
    """Distill, or resume from the checkpoint in `work`. Raises CheckpointError if the checkpoint does not match."""
    settings = settings_of(recipe.distillation, source.info, recipe.source.flip, engine.device.type, engine.processes)
    try:
        return distill_images(source, pool, settings, engine, work / CHECKPOINT, resume, progress)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}, rename the folder and start over (--restart), or name another with --output"
        ) from None


def write_images(
    source: Source,
    pool: Pool,
    made: Distillation,
    recipe: Recipe,
    engine: Engine,
    folder: Path,
    addition: Addition | None,
    progress: Progress,
) -> Distilled:
    """Quantise, decode, merge with an appended dataset's images, label and write.

    Returns the dataset as read back from disk, so that what is evaluated is what is published.
    """
    factor, classes = recipe.distillation.factor, len(source.info.class_names)
    stored = to_pixels(made.stored)
    images = decode_stored(stored, factor)
    if addition is not None:
        stored, images = addition.with_old(stored, images, source.info.class_names)
    ipc = len(stored) // classes
    stored_labels = torch.arange(classes).repeat_interleave(ipc)
    distilled = Distilled(
        stored=stored,
        stored_labels=stored_labels,
        images=images,
        labels=stored_labels.repeat_interleave(factor**2),
        soft_labels=soft_labels(images, pool, engine, progress=progress, classes=source.info.class_names),
        stored_index=torch.arange(len(stored), dtype=torch.int32).repeat_interleave(factor**2),
        tile=torch.arange(factor**2, dtype=torch.int8).repeat(len(stored)),
        class_names=source.info.class_names,
        factor=factor,
    )
    if engine.accelerator.is_main_process:
        write_data(folder, distilled)
    engine.accelerator.wait_for_everyone()
    read = read_data(folder)
    if not (torch.equal(read.images, images) and torch.equal(read.soft_labels, distilled.soft_labels)):
        raise DistilledError(f"{folder}: the files read back differ from what was written; is the disk sound?")
    return read


def results_of(
    measured: dict[str, Any],
    source: Source,
    pool: Pool,
    made: Distillation,
    recipe: Recipe,
    addition: Addition | None,
    peaks: dict[str, int],
) -> dict[str, Any]:
    """Return the content of results.json.

    measured: from `evaluate_subject`; source: the classes distilled in this run; peaks: GPU memory by stage, in bytes
    """
    values = recipe.distillation
    curve = [(ncfd + values.calibration * entropy, ncfd, entropy) for ncfd, entropy in made.curve]

    def at(step: int) -> dict[str, float]:
        loss, ncfd, entropy = curve[step]
        return {"loss": round(loss, 4), "ncfd": round(ncfd, 4)} | (
            {"calibration": round(entropy, 4)} if values.calibration else {}
        )

    every = max(1, len(curve) // 100)
    # A class smaller than the batch is used whole. The loss is a mean over classes, and so is its floor.
    real = [min(values.real_batch, len(rows)) for rows in source.class_indices()]
    ipc = len(made.stored) // len(real)
    floors = [floor_of(count, ipc * values.factor**2, values.alpha) for count in real]
    return measured | {
        "pool": {"members": [{"accuracy": accuracy} for accuracy in pool.accuracy]}
        | ({"measured_on": pool.measured_on} if pool.measured_on else {}),
        "distillation": ({"classes": list(addition.new)} if addition else {})
        | {
            "steps": len(curve),
            "sampling_network": values.sampling_network,
            "calibration": values.calibration,
            "first": at(0),
            "last": at(-1),
            **({"matching": "mean"} if values.matching == "mean" else {"floor": round(statistics.fmean(floors), 2)}),
            "seconds_per_step": round(made.seconds / max(1, len(curve)), 3),
            "curve": [[step, round(curve[step][0], 4)] for step in range(0, len(curve), every)],
        },
        **({"peak_gpu_bytes": peaks} if peaks else {}),
    }


def write_description(
    settled: Plan,
    source: Source,
    pool: Pool,
    engine: Engine,
    distilled: Distilled,
    results: dict[str, Any],
    seconds: dict[str, float],
) -> None:
    """Write pipeline.yaml, results.json, the contact sheet and the card.

    When appending, text that a person added to the card of the smaller dataset is carried over.
    """
    from ncfm_hub.publishing.cards.dataset_card import write_card

    pipeline, place, addition = settled.pipeline, settled.place, settled.addition
    folder, card = place.folder, place.root / CARD
    notes = (*source.notes, *too_small_notes(source, settled.ipc * pipeline.recipe.distillation.factor**2))
    described = describe_run(pipeline, source, pool, engine, notes=notes, seconds=seconds)
    remember_places(pipeline.recipe, source.info, pool)
    if addition is not None:
        described |= addition.entries(described, differences(addition, described, source.info))
        if (addition.place.root / CARD).is_file() and not card.exists():
            with whole_file(card) as temporary:
                shutil.copyfile(addition.place.root / CARD, temporary)
    write_json(folder / RESULTS, results)
    contact_sheet(distilled.stored, distilled.stored_labels, distilled.class_names, folder / PREVIEW)
    # Last, since it marks a finished dataset for other runs that write the card of this folder.
    write_text(folder / PIPELINE, yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=110))
    write_card(place.root, repo_id=settled.repo_id, default=settled.default)


def default_repository(folder: Path) -> str:
    """Return the default repository name of distilled datasets: of all in `folder`, or of one."""
    from ncfm_hub.publishing.dataset.names import default_repo_name

    described = read_pipeline(find_set(folder).folder)
    if "name" not in described:
        raise DistilledError(f"{folder}/{PIPELINE} names no pipeline; give --repo-id")
    return default_repo_name(str(described["name"]), imported="imported" in described)
