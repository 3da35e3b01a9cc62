"""The stages of a run, each from a recipe's values to the next thing made."""

import statistics
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from ncfm_hub.distillation import Distillation, choose_classes_at_once, distill_images, floor_of
from ncfm_hub.distiller import DistillationSettings
from ncfm_hub.engine import Engine, images_within, open_engine
from ncfm_hub.errors import DistilledError
from ncfm_hub.evaluation.baselines import random_images
from ncfm_hub.evaluation.protocol import Row, measure, updates_of
from ncfm_hub.evaluation.students import StudentPlan, Students, TrainingSet, one_hot
from ncfm_hub.extractors.cache import get_pool
from ncfm_hub.extractors.networks import Architecture, channel_statistics, convnet_for
from ncfm_hub.extractors.pool import Pool, check_pool_fits, find_pool
from ncfm_hub.files import write_json, write_text
from ncfm_hub.labels import soft_labels
from ncfm_hub.matching.start import make_start
from ncfm_hub.pipeline import ResolvedPipeline, change_evaluation
from ncfm_hub.planning import announce_evaluation
from ncfm_hub.progress import Progress
from ncfm_hub.provenance import describe_run
from ncfm_hub.publishing import Distilled, contact_sheet, decode_stored, load_distilled, write_data
from ncfm_hub.publishing.card import read_pipeline
from ncfm_hub.recipe import DistillationRecipe, EvaluationRecipe, Recipe
from ncfm_hub.sources import Source, cut_validation, load_source, too_small_notes
from ncfm_hub.sources.types import SourceInfo

CHECKPOINT = "distillation.safetensors"
# Decoded images of a unit of work, and real images of one pass, at 32 px: on a CPU as many as make a step faster;
# many on a GPU. What they take grows with the pixels.
UNIT_IMAGES = {"cpu": 256, "cuda": 4096}
PASS_IMAGES = {"cpu": 128, "cuda": 1024}


def read_source(recipe: Recipe, ipc: int, validation: bool, token: str | None, progress: Progress) -> Source:
    """The source, its validation part cut off if wanted; says what a user should know of it."""
    source = load_source(recipe.source, token=token, progress=progress)
    if validation:
        source = cut_validation(source)
    for note in (*source.notes, *too_small_notes(source, ipc * recipe.distillation.factor**2)):
        progress.note(note)
    return source


def get_extractors(
    source: Source, recipe: Recipe, place: str | None, engine: Engine, token: str | None, progress: Progress
) -> Pool:
    """The pool named by `place`, else from the cache, else trained."""
    if place is None:
        return get_pool(source, recipe.source.flip, recipe.pool, engine, progress)
    pool = find_pool(place, token)
    check_pool_fits(pool, source.info.class_names, source.info.channels, source.info.resolution)
    return pool


def settings_of(
    recipe: DistillationRecipe, info: SourceInfo, flip: bool, ipc: int, seed: int, device: str
) -> DistillationSettings:
    """A recipe's values as the loop takes them, sizes of units and passes chosen."""
    values = recipe.model_dump(exclude={"checkpoint_every", "classes_at_once", "images_at_once"})
    classes, decoded = len(info.class_names), ipc * recipe.factor**2

    def limit(at_32_px: dict[str, int]) -> int:
        return images_within(at_32_px.get(device, at_32_px["cpu"]), info.resolution)

    return DistillationSettings(
        ipc=ipc,
        seed=seed,
        flip=flip,
        classes_at_once=recipe.classes_at_once or choose_classes_at_once(classes, decoded, limit(UNIT_IMAGES)),
        images_at_once=recipe.images_at_once or limit(PASS_IMAGES),
        **values,
    )


def make_images(
    source: Source,
    pool: Pool,
    recipe: Recipe,
    ipc: int,
    seed: int,
    engine: Engine,
    work: Path,
    resume: bool,
    progress: Progress,
) -> Distillation:
    """Distill, or go on distilling; the checkpoint lies in `work`."""
    settings = settings_of(recipe.distillation, source.info, recipe.source.flip, ipc, seed, engine.device.type)
    every = recipe.distillation.checkpoint_every
    return distill_images(source, pool, settings, engine, work / CHECKPOINT, every, resume, progress)


def to_pixels(stored: torch.Tensor) -> torch.Tensor:
    """[0, 1] float -> uint8, rounded to k/255: the only rounding there is."""
    return (stored * 255).round().clamp(0, 255).to(torch.uint8)


def write_images(
    source: Source, pool: Pool, made: Distillation, recipe: Recipe, engine: Engine, folder: Path, progress: Progress
) -> Distilled:
    """Round, decode, label and write; returns what was read back from the files, which is what gets measured."""
    factor, classes = recipe.distillation.factor, len(source.info.class_names)
    stored = to_pixels(made.stored)
    ipc = len(stored) // classes
    images = decode_stored(stored, factor)
    stored_labels = torch.arange(classes).repeat_interleave(ipc)
    distilled = Distilled(
        stored=stored,
        stored_labels=stored_labels,
        images=images,
        labels=stored_labels.repeat_interleave(factor**2),
        soft_labels=soft_labels(images, pool, engine, progress=progress),
        stored_index=torch.arange(len(stored), dtype=torch.int32).repeat_interleave(factor**2),
        tile=torch.arange(factor**2, dtype=torch.int8).repeat(len(stored)),
        class_names=source.info.class_names,
        factor=factor,
    )
    if engine.accelerator.is_main_process:
        write_data(folder, distilled)
    engine.accelerator.wait_for_everyone()
    read = load_distilled(folder)
    if not (torch.equal(read.images, images) and torch.equal(read.soft_labels, distilled.soft_labels)):
        raise DistilledError(f"{folder}: the files read back differ from what was written; is the disk sound?")
    return read


def evaluate_rows(
    source: Source,
    distilled: Distilled,
    start: torch.Tensor,
    recipe: Recipe,
    seed: int,
    engine: Engine,
    work: Path | None,
    progress: Progress,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and protocol of `results.json`. start: stored images (S, c, H, W) float of the mixed-tile start."""
    evaluation = recipe.evaluation
    mean, std = channel_statistics(source.train.images)
    info = source.info
    architecture = Architecture(
        convnet_for(info.resolution), len(info.class_names), info.channels, info.resolution, mean, std
    )
    plan = student_plan(evaluation, recipe.source.flip, len(distilled.labels))
    rows = _rows(source, distilled, start, evaluation, seed)
    protocol = {
        "metric": "top-1 accuracy in percent at the last epoch",
        "split": info.test_split,
        "test_images": len(source.test.labels),
        "distillations": 1,
        "students": evaluation.students,
        "student": architecture.name,
        "updates": plan.updates,
        "batch_size": plan.batch_size,
        "recipe": asdict(plan),
    }
    if not evaluation.students:
        return [], protocol
    students = Students(architecture, plan, engine)
    measured = measure(
        rows, source.test, students, range(evaluation.students), engine, work / "students" if work else None, progress
    )
    return measured, protocol


def student_plan(recipe: EvaluationRecipe, flip: bool, images: int) -> StudentPlan:
    """A recipe's values as students take them; `images`: of the distilled set."""
    return StudentPlan(
        updates=updates_of(recipe.updates, recipe.epochs, images, recipe.batch_size),
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        schedule=recipe.schedule,
        cutmix=recipe.cutmix,
        flip=flip,
    )


def _rows(source: Source, distilled: Distilled, start: torch.Tensor, recipe: EvaluationRecipe, seed: int) -> list[Row]:
    classes, stored = len(distilled.class_names), len(distilled.stored)

    def hard(name: str, images: torch.Tensor, labels: torch.Tensor, count: int) -> Row:
        return Row(name, "hard", TrainingSet(images, labels, one_hot(labels, classes)), count)

    random = random_images(source, distilled.ipc, seed)
    rows = [
        hard("random", random.images, random.labels, stored),
        hard("start", decode_stored(to_pixels(start), distilled.factor), distilled.labels, stored),
        hard("distilled", distilled.images, distilled.labels, stored),
    ]
    if recipe.soft_labels:
        rows.append(
            Row("distilled", "soft", TrainingSet(distilled.images, distilled.labels, distilled.soft_labels), stored)
        )
    if recipe.whole:
        rows.append(hard("whole", source.train.images, source.train.labels, len(source.train.labels)))
    return rows


def results_of(
    rows: list[dict[str, Any]],
    protocol: dict[str, Any],
    source: Source,
    pool: Pool,
    made: Distillation,
    recipe: Recipe,
    ipc: int,
) -> dict[str, Any]:
    """The content of `results.json`."""
    values = recipe.distillation
    curve = [(ncfd + values.calibration * entropy, ncfd, entropy) for ncfd, entropy in made.curve]

    def at(step: int) -> dict[str, float]:
        loss, ncfd, entropy = curve[step]
        return {"loss": round(loss, 4), "ncfd": round(ncfd, 4)} | (
            {"calibration": round(entropy, 4)} if values.calibration else {}
        )

    every = max(1, len(curve) // 100)
    # A class smaller than the batch gives what it has; the loss is a mean over classes, and so is its floor.
    real = [min(values.real_batch, len(rows)) for rows in source.class_indices()]
    floors = [floor_of(count, ipc * values.factor**2) for count in real]
    return {
        "ncfm_hub": 1,
        "rows": rows,
        "protocol": protocol,
        "pool": {"members": [{"accuracy": accuracy} for accuracy in pool.accuracy]}
        | ({"measured_on": pool.measured_on} if pool.measured_on else {}),
        "distillation": {
            "steps": len(curve),
            "sampling_network": values.sampling_network,
            "calibration": values.calibration,
            "first": at(0),
            "last": at(-1),
            **({"matching": "mean"} if values.matching == "mean" else {"floor": round(statistics.fmean(floors), 2)}),
            "seconds_per_step": round(made.seconds / max(1, len(curve)), 3),
            "curve": [[step, round(curve[step][0], 4)] for step in range(0, len(curve), every)],
        },
    }


def describe(
    pipeline: ResolvedPipeline,
    source: Source,
    pool: Pool,
    engine: Engine,
    distilled: Distilled,
    results: dict[str, Any],
    folder: Path,
    ipc: int,
    seed: int,
    seconds: dict[str, float],
    repo_id: str | None,
) -> None:
    """Write pipeline.yaml, results.json, the contact sheet and the card beside the images."""
    from ncfm_hub.publishing.card import write_card

    notes = (*source.notes, *too_small_notes(source, ipc * pipeline.recipe.distillation.factor**2))
    described = describe_run(pipeline, source, pool, engine, ipc=ipc, seed=seed, notes=notes, seconds=seconds)
    write_text(folder / "pipeline.yaml", yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=110))
    write_json(folder / "results.json", results)
    contact_sheet(distilled.stored, distilled.stored_labels, distilled.class_names, folder / "preview.png")
    write_card(folder, repo_id=repo_id)


def default_name(folder: Path) -> str:
    """The repository name that a distilled folder gets unless another is given."""
    from ncfm_hub.publishing.names import default_repo_name

    described = read_pipeline(folder)
    try:
        return default_repo_name(str(described["name"]), int(described["ipc"]))
    except (KeyError, TypeError, ValueError):
        raise DistilledError(f"{folder}/pipeline.yaml names no pipeline and ipc; give --repo-id") from None


def evaluate_published(
    target: str,
    preset: str | None,
    overrides: Mapping[str, Any] | None,
    revision: str | None,
    token: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """See `ncfm_hub.run.evaluate`."""
    from ncfm_hub.publishing.loading import locate

    folder = locate(target, revision=revision, token=token)
    described = read_pipeline(folder)
    distilled = load_distilled(folder)
    recipe = change_evaluation(_recipe_of(described, folder), preset, overrides)
    engine = open_engine(recipe.engine.precision, recipe.engine.compile, progress)
    source = load_source(recipe.source, token=token, progress=progress)
    if str(described["source"].get("test_split", "")).startswith("validation part"):
        source = cut_validation(source)
    if source.info.class_names != distilled.class_names:
        raise DistilledError(
            f"{target} holds the classes {_some(distilled.class_names)}; "
            f"its source {source.info.dataset} gives {_some(source.info.class_names)}"
        )
    if source.fingerprint != described["source"].get("fingerprint"):
        progress.note("the source differs from the one this set was made from; its start is drawn from the present one")
    seed = described.get("seed")
    if not isinstance(seed, int):
        raise DistilledError(f"{target}: pipeline.yaml gives no seed, from which the start and random images are drawn")
    announce_evaluation(recipe, source.info, len(distilled.labels), len(source.test.labels), engine, progress)
    start = make_start(source, distilled.ipc, distilled.factor, seed)
    rows, protocol = evaluate_rows(source, distilled, start, recipe, seed, engine, None, progress)
    return {"ncfm_hub": 1, "rows": rows, "protocol": protocol}


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")


def _recipe_of(described: dict[str, Any], folder: Path) -> Recipe:
    """The recipe a set was made with, at the source's pinned revision."""
    from pydantic import ValidationError

    try:
        values = {section: dict(content) for section, content in described["recipe"].items()}
        source = described["source"]
        if not source["is_local"]:  # a folder is found as the recipe names it; so are the packaged digits
            values["source"] |= {"dataset": source["dataset"], "revision": source["revision"]}
        return Recipe.model_validate(values)
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise DistilledError(f"{folder}/pipeline.yaml holds no usable recipe ({str(error).splitlines()[0]})") from None
