"""Architecture search: does a distilled dataset rank networks as the full training set does, and how much faster?

Each architecture is trained on the distilled dataset, on random real images at the same storage budget and on the full
training set, for a fixed number of updates. It is tested on images of the training split held out from the latter two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ncfm_hub.errors import PoolError
from ncfm_hub.evaluation.baselines import random_images
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.opening import SubjectOptions, open_subject
from ncfm_hub.evaluation.planned import PlannedMeasurement
from ncfm_hub.evaluation.protocol import Row
from ncfm_hub.evaluation.search.agreement import agreement
from ncfm_hub.evaluation.search.candidates import (
    Budget,
    Sets,
    measure_candidates,
    search_minutes,
    usable_candidates,
)
from ncfm_hub.evaluation.search.report import FILES
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.networks.build import Architecture
from ncfm_hub.networks.grid import convnet_grid
from ncfm_hub.publishing.dataset.dataset import images_digest
from ncfm_hub.sources import Source, cut_validation, is_validation
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.named import Named
from ncfm_hub.utils.places import folder_name
from ncfm_hub.utils.progress import Progress, Silent
from ncfm_hub.utils.seeding import generator

SAMPLE = 20  # architectures of the grid, by default
Figures = dict[str, Any]


@reproducible()
def search_architectures(
    target: Named,
    *,
    architectures: Sequence[str] | None = None,
    sample: int | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    random_baseline: bool = True,
    source: Named | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Figures:
    """Measure how well a distilled dataset ranks architectures; returns the content of `nas.json`.

    Results are cached for each student (evaluation network), so an interrupted search continues where it stopped. An
    architecture that fails to build or diverges is recorded with the reason.

    target: folder or Hub repository
    architectures: names; default: the grid of 720 ConvNets
    sample: number of architectures to sample with `seed`; a larger sample contains the smaller one. Default: all that
        were named, or SAMPLE of the grid
    seed: random seed of the sample and the students
    budget: how long each student is trained; see `Budget`
    random_baseline: also rank by random real images
    source, preset, overrides, revision, token, progress: as for `evaluate`
    Raises PoolError for an unknown name, or if no architecture could be measured.
    """
    progress, budget = progress or Silent(), budget or Budget()
    options = SubjectOptions(source, preset, overrides, revision=revision, token=token)
    subject, candidates = _opened(target, choose_architectures(architectures, sample, seed), options, progress)
    part = _validation_of(subject.source)
    sets = _sets(subject, part, random_baseline)
    trained, failed = measure_candidates(candidates, sets, subject.plan(), budget, subject.engine, progress)
    if not trained:
        raise PoolError(
            f"none of {counted(len(failed), 'architecture')} could be measured; the first: {failed[0]['reason']}"
        )
    proxies = {row.name: [one[row.name]["mean"] for one in trained] for row in sets.proxies}
    return {
        "ncfm_hub": 1,
        "target": folder_name(subject.name) if Path(subject.name).expanduser().is_dir() else subject.name,
        "source": subject.source.info.public_name,
        "images_sha256": images_digest(subject.images, subject.labels),
        "protocol": _protocol(subject, part, budget) | {"drawn_from": _space(architectures), "seed": seed},
        "agreement": agreement(proxies, [one["whole"]["mean"] for one in trained], seed),
        "seconds": {kind: round(sum(one["seconds"][kind] for one in trained), 1) for kind in trained[0]["seconds"]},
        "architectures": trained,
        "failed": failed,
    }


@reproducible()
def plan_search(
    target: Named,
    *,
    architectures: Sequence[str] | None,
    sample: int | None,
    seed: int,
    budget: Budget,
    random_baseline: bool,
    options: SubjectOptions,
    folder: Path,
    progress: Progress,
) -> PlannedMeasurement:
    """Return what `search_architectures` would do with the same arguments, without doing it. Raises the same errors.

    folder: where the result would be written
    """
    subject, candidates = _opened(target, choose_architectures(architectures, sample, seed), options, progress)
    usable = usable_candidates(candidates, [], progress)
    info = _validation_of(subject.source).info
    proxies = 1 + random_baseline
    return PlannedMeasurement(
        subject.name,
        f"{info.dataset}, {info.test_split}",
        len(usable) * budget.students * (proxies + 1),
        search_minutes(usable, subject.plan().batch_size * budget.updates(proxies), subject.engine),
        tuple(folder / name for name in FILES),
    )


def _opened(
    target: Named, names: Sequence[str], options: SubjectOptions, progress: Progress
) -> tuple[Subject, list[Architecture]]:
    """Return the dataset and the architectures to train, without those that are the same under two names."""
    # Tested on a part of the training split in any case.
    subject = open_subject(target, replace(options, test="if there"), progress)
    if subject.engine.accelerator.num_processes > 1:
        raise PoolError("an architecture search runs in one process; start it without a launcher")
    return subject, list(dict.fromkeys(subject.architecture(name) for name in names))


def choose_architectures(names: Sequence[str] | None, sample: int | None, seed: int) -> list[str]:
    """Return the architectures to train, without duplicates; see `search_architectures`."""
    every = convnet_grid() if names is None else list(dict.fromkeys(names))
    wanted = sample or (SAMPLE if names is None else len(every))
    if wanted >= len(every):
        return every
    order = torch.randperm(len(every), generator=generator(seed, "architectures"))
    return [every[number] for number in order[:wanted]]


def _space(architectures: Sequence[str] | None) -> str:
    return f"{len(convnet_grid())} ConvNets" if architectures is None else f"{len(set(architectures))} that were named"


def _validation_of(source: Source) -> Source:
    """Return the source with a validation split cut from its training split; no choice may depend on the test split."""
    return source if is_validation(source.info.test_split) else cut_validation(source)


def _sets(subject: Subject, part: Source, random_baseline: bool) -> Sets:
    """Return proxies and full training set, all with hard labels.

    part: the source with its validation split cut out
    """

    def hard(name: str, images: torch.Tensor, labels: torch.Tensor, stored: int) -> Row:
        return Row(name, "hard", TrainingSet(images, labels), stored)

    proxies = [hard("distilled", subject.images, subject.labels, subject.stored)]
    if random_baseline:
        chosen = random_images(part, subject.ipc, subject.seed)
        proxies.append(hard("random", chosen.images, chosen.labels, len(chosen.labels)))
    whole = hard("whole", part.train.images, part.train.labels, len(part.train.labels))
    return Sets(tuple(proxies), whole, part.tested_on())


def _protocol(subject: Subject, part: Source, budget: Budget) -> Figures:
    recipe = asdict(subject.plan())
    del recipe["updates"]
    return {
        "metric": "top-1 accuracy in percent at the last update",
        "split": part.info.test_split,
        "test_images": len(part.tested_on().labels),
        # A dataset distilled from the test images may encode them, although no student trains on them.
        "distilled_from_test_images": None if subject.parts is None else subject.source is not part,
        "labels": "hard",
        **asdict(budget),
        "recipe": recipe,
        "engine": subject.engine.describe(),
    }
