"""A pool during training: which members are complete, training the others, and writing the finished pool."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch

from ncfm_hub.errors import Damaged
from ncfm_hub.extractors.pool import POOL_FILE, Pool, digest_of, member_file, write_pool_files
from ncfm_hub.extractors.pretraining import (
    TrainingPlan,
    begun_groups,
    initial_weights,
    measure_blends,
    partial_file,
    train_members,
)
from ncfm_hub.extractors.weights_facts import weights_facts
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.groups import halving, in_groups
from ncfm_hub.networks.build import Architecture, Weights, build_network, normalise
from ncfm_hub.networks.capacity import networks_at_once
from ncfm_hub.networks.stacked import TogetherTrainer
from ncfm_hub.networks.trainer import Trainer
from ncfm_hub.recipes.schema import NOT_OF_TRAINING, PoolRecipe
from ncfm_hub.sources.types import ImageSet, Source
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.places import public_weights
from ncfm_hub.utils.progress import Progress, taken_back
from ncfm_hub.utils.sealed import discard_damaged, load_record, load_tensors, save_record, save_tensors

# The accuracy of blends is only descriptive: this many test images give it to within one percentage point.
MEASURED_IMAGES = 2000
# They stand in the name of the file that keeps their state, and file systems allow 255 characters.
MOST_AT_ONCE = 64


def open_again(folder: Path, progress: Progress) -> None:
    """Reset a damaged pool to one in training, with a note; undamaged members are kept."""
    if not (folder / POOL_FILE).is_file():
        return
    try:
        described = load_record(folder / POOL_FILE)
        accuracies = [member["accuracy"] for member in described["members"]]
    except Damaged:
        accuracies = []
    for member, accuracy in enumerate(accuracies):
        save_record(_measured_file(folder, member), accuracy)
    (folder / POOL_FILE).unlink()
    progress.note(f"the pool in {folder} is damaged; what is not sound of it is trained anew")


def train_missing(
    source: Source,
    flip: bool,
    recipe: PoolRecipe,
    architecture: Architecture,
    weights: str | None,
    engine: Engine,
    folder: Path,
    members: list[int],
    progress: Progress,
) -> None:
    """Train the members that are missing or damaged, several at once where that is faster."""
    plan = _training_plan(recipe, flip)
    groups = _groups(folder, members, architecture, plan, engine, progress)
    if not groups:
        return
    trainers = _Trainers(architecture, engine)
    images, labels = _on_device(source.train, engine)
    updates = plan.updates_per_epoch(len(images)) * plan.epochs
    with progress.bar(updates * sum(map(len, groups)), "pretraining") as bar:

        def train(group: Sequence[int]) -> list[tuple[Weights, Weights]]:
            discard_damaged(partial_file(folder, group), progress)
            pairs = [initial_weights(architecture, plan.seed, one, weights, recipe.init_head_only) for one in group]
            starts = [start for _, start in pairs]
            with taken_back(bar) as own:
                ends = train_members(trainers.of(group), folder, group, images, labels, architecture, plan, starts, own)
            return [(init, end) for (init, _), end in zip(pairs, ends, strict=True)]

        for group, pairs in halving(groups, train, progress):
            for member, pair in zip(group, pairs, strict=True):
                for which, some in zip(("init", "trained"), pair, strict=True):
                    save_tensors(member_file(folder, member, which), some)
                said = _measure(source, architecture, trainers.alone, folder, member, pair)
                progress.note(f"extractor {member + 1} of {recipe.size}: {said}")
            partial_file(folder, group).unlink()


def _training_plan(recipe: PoolRecipe, flip: bool) -> TrainingPlan:
    return TrainingPlan(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        schedule=recipe.schedule,
        seed=recipe.seed,
        flip=flip,
    )


def _groups(
    folder: Path,
    members: list[int],
    architecture: Architecture,
    plan: TrainingPlan,
    engine: Engine,
    progress: Progress,
) -> list[Sequence[int]]:
    """Return the members to train, in groups: those that were begun together, and the rest as memory allows."""
    missing = [member for member in members if not _is_done(folder, member)]
    if not missing:
        return []
    image = (architecture.channels, architecture.resolution, architecture.resolution)
    at_once = networks_at_once(build_network(architecture), image, plan.batch_size, len(members), engine, progress)
    begun: list[Sequence[int]] = []
    for group in begun_groups(folder):
        taken = {member for some in begun for member in some}
        free = set(members) - taken
        if len(group) <= at_once and free.issuperset(group) and not set(missing).isdisjoint(group):
            begun.append(group)
    rest = [member for member in missing if not any(member in group for group in begun)]
    return [*begun, *in_groups(rest, min(at_once, MOST_AT_ONCE))]


class _Trainers:
    """The trainers of one member and of several at once."""

    def __init__(self, architecture: Architecture, engine: Engine):
        self._architecture, self._engine = architecture, engine
        self.alone = Trainer(build_network(architecture), engine)

    def of(self, members: Sequence[int]) -> Trainer | TogetherTrainer:
        """Return the trainer of so many members."""
        return self.alone if len(members) == 1 else self._together

    @cached_property
    def _together(self) -> TogetherTrainer:
        return TogetherTrainer(build_network(self._architecture), self._engine)


def _on_device(images: ImageSet, engine: Engine) -> tuple[torch.Tensor, torch.Tensor]:
    """Move images and labels to the GPU if they fit a quarter of its free memory; else batches are moved one by one."""
    if engine.device.type != "cuda" or images.images.nbytes > torch.cuda.mem_get_info(engine.device)[0] // 4:
        return images.images, images.labels
    return images.images.to(engine.device), images.labels.to(engine.device)


def _measure(
    source: Source,
    architecture: Architecture,
    trainer: Trainer,
    folder: Path,
    member: int,
    pair: tuple[Weights, Weights],
) -> str:
    """Record the accuracy of a member's blends; returns a message with the accuracy of the trained network."""
    split, known = _measured_on(source)
    rows = torch.linspace(0, len(known.labels) - 1, min(MEASURED_IMAGES, len(known.labels))).long()
    images, labels = known.images[rows], known.labels[rows]
    accuracy = measure_blends(trainer, pair, images, labels, lambda x: normalise(x, architecture))
    save_record(_measured_file(folder, member), accuracy)
    return f"{accuracy['0.0']:.1f} % on {counted(len(rows), 'image')} of {split}"


def _measured_on(source: Source) -> tuple[str | None, ImageSet]:
    """Return the images to measure accuracy on: the test split, or the training images if there is none."""
    info = source.info
    return (info.train_split, source.train) if source.test is None else (info.test_split, source.test)


def _measured_file(folder: Path, member: int) -> Path:
    """Path of the accuracy of a member's blends, which is written last and marks the member as complete."""
    return folder / f"{member:02d}.json"


def _is_done(folder: Path, member: int) -> bool:
    """Return whether a member is complete and undamaged."""
    try:
        load_record(_measured_file(folder, member))
        for which in ("init", "trained"):
            load_tensors(member_file(folder, member, which))
    except (FileNotFoundError, Damaged):
        return False
    return True


def describe_pool(source: Source, recipe: PoolRecipe, architecture: Architecture, key: str, folder: Path) -> None:
    """Write the files that turn a folder of trained members into a pool, and remove temporary files of training."""

    def pair(member: int) -> tuple[Weights, Weights]:
        (init, _), (trained, _) = (load_tensors(member_file(folder, member, which)) for which in ("init", "trained"))
        return init, trained

    accuracy = tuple(load_record(_measured_file(folder, member)) for member in range(recipe.size))
    names, weights = source.info.class_names, public_weights(recipe.pretrained)
    pool = Pool(architecture, names, (pair(0),), accuracy, key, "trained here", weights)
    split, known = _measured_on(source)
    description = {
        "digest": digest_of(map(pair, range(recipe.size))),
        "recipe": recipe.model_dump(exclude=set(NOT_OF_TRAINING)) | {"pretrained": weights},
        "source": {"dataset": source.info.public_name}
        | {
            name: getattr(source.info, name)
            for name in ("is_local", "content", "revision", "license", "license_name", "license_link", "fingerprint")
        },
        **({"weights": facts} if (facts := weights_facts(recipe)) else {}),
        "measured_on": {"split": split, "images": min(MEASURED_IMAGES, len(known.labels))},
    }
    write_pool_files(folder, pool, description)
    for member in range(recipe.size):  # now in pool.json
        _measured_file(folder, member).unlink(missing_ok=True)
    for left in folder.glob("*-partial.safetensors"):  # left by members that were interrupted in other groups
        left.unlink()
