"""Getting a pool: from the cache if one was trained under the same conditions before, else by training it now."""

import hashlib
import json
from pathlib import Path
from typing import Any

import timm
import torch

from ncfm_hub.counting import counted
from ncfm_hub.engine import Engine
from ncfm_hub.errors import Damaged, PoolError
from ncfm_hub.extractors.networks import (
    Architecture,
    build_network,
    channel_statistics,
    check_backbone,
    check_network,
    convnet_for,
    is_place,
    name_of,
    normalise,
    pretrained_name,
)
from ncfm_hub.extractors.pool import (
    POOL_FILE,
    Pool,
    Weights,
    member_file,
    read_pool,
    timm_files_are_sound,
    write_pool_files,
)
from ncfm_hub.extractors.pretraining import (
    TrainingPlan,
    initial_weights,
    measure_blends,
    partial_file,
    train_members,
)
from ncfm_hub.extractors.together import TogetherTrainer, networks_at_once
from ncfm_hub.extractors.training import Trainer
from ncfm_hub.files import cache_root
from ncfm_hub.locks import one_run
from ncfm_hub.places import LOCAL_WEIGHTS, public_weights
from ncfm_hub.progress import Progress, Silent
from ncfm_hub.recipe import PoolRecipe
from ncfm_hub.sealed import discard_damaged, load_record, load_tensors, save_record, save_tensors
from ncfm_hub.sources.types import ImageSet, Source

# The blends' accuracy describes a pool, it decides nothing: this many test images give it to within a point.
MEASURED_IMAGES = 2000


def pool_key(fingerprint: str, flip: bool, recipe: PoolRecipe, architecture: str, engine: Engine) -> str:
    """Hex key of everything that determines a pool's bytes on one machine."""
    weights = public_weights(recipe.pretrained)  # wherever a folder of them lies
    described = {
        "format": 4,
        "source": fingerprint,
        "flip": flip,
        "recipe": recipe.model_dump() | {"pretrained": weights},
        "architecture": weights if architecture == recipe.pretrained else architecture,
        "computed": [engine.device.type, engine.precision, engine.compiled, engine.native],
        "versions": [torch.__version__, timm.__version__],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def architecture_name(recipe: PoolRecipe, resolution: int) -> str:
    """The backbone a recipe means at a resolution. Raises PoolError where its weights are of another."""
    if recipe.backbone and is_place(recipe.backbone):
        raise PoolError(
            f"pool.backbone (--backbone) is {recipe.backbone!r}, where weights lie, and no name of timm's; name the "
            f"weights by --pretrained {recipe.backbone}, and leave --backbone out"
        )
    if recipe.backbone and recipe.pretrained:
        check_backbone(recipe.backbone, recipe.pretrained)
    if recipe.backbone:
        return recipe.backbone
    return recipe.pretrained if recipe.pretrained else convnet_for(resolution)


def pool_folder(key: str) -> Path:
    """Where the pool of a key is cached."""
    return cache_root() / "pools" / key


def is_cached(fingerprint: str, flip: bool, recipe: PoolRecipe, resolution: int, engine: Engine) -> bool:
    """Whether the pool of a source and recipe lies in the cache, whole; recipe: `pinned`."""
    key = pool_key(fingerprint, flip, recipe, architecture_name(recipe, resolution), engine)
    return (pool_folder(key) / POOL_FILE).is_file()


def pinned(recipe: PoolRecipe) -> PoolRecipe:
    """The recipe with weights of a Hub named by the commit they are at: what lies under a name may change.

    Offline, the commit last fetched. Raises PoolError, one line, if the weights cannot be had.
    """
    kind, _, place = (recipe.pretrained or "").partition(":")
    if f"{kind}:" == LOCAL_WEIGHTS:
        raise PoolError(
            f"the extractors start from weights in the folder {place.partition('@')[0]!r} of the machine where the set "
            "was made, which are not known here; name extractors by --pool"
        )
    if kind not in ("hf-hub", "hf_hub"):
        return recipe
    from huggingface_hub import hf_hub_download

    from ncfm_hub.hub import expected_errors, explain

    name, _, revision = place.partition("@")
    try:
        configuration = hf_hub_download(name, "config.json", revision=revision or None)
    except expected_errors() as error:
        raise PoolError(f"the weights cannot be fetched: {explain(error, name, revision=revision or None)}") from None
    return recipe.model_copy(update={"pretrained": f"hf-hub:{name}@{Path(configuration).parent.name}"})


def get_pool(source: Source, flip: bool, recipe: PoolRecipe, engine: Engine, progress: Progress | None = None) -> Pool:
    """The pool for a source, trained now where the cache has none; several processes share the members."""
    progress = progress or Silent()
    unpinned = recipe
    recipe = engine.decide_once(lambda: pinned(unpinned))
    name = architecture_name(recipe, source.info.resolution)
    key = pool_key(source.fingerprint, flip, recipe, name, engine)
    folder = pool_folder(key)
    found = _from_cache(folder, engine)
    if found is not None:
        return found
    weights = pretrained_name(recipe.backbone, recipe.pretrained) if recipe.pretrained else None
    architecture = _describe(source, name, weights)
    check_network(architecture)
    # Held until the pool is whole: a second run that waits here must find all of it, or nothing.
    with one_run(folder / ".lock", engine, progress, "training this pool"):
        found = _from_cache(folder, engine)
        if found is not None:
            return found
        engine.decide_once(lambda: _open_again(folder, progress))
        process, processes = engine.accelerator.process_index, engine.accelerator.num_processes
        mine = [member for member in range(recipe.size) if member % processes == process]
        _train(source, flip, recipe, architecture, weights, engine, folder, mine, progress)
        engine.accelerator.wait_for_everyone()
        if engine.accelerator.is_main_process:
            _describe_pool(source, recipe, architecture, key, folder)
    return read_pool(folder, "trained here")


def _from_cache(folder: Path, engine: Engine) -> Pool | None:
    """The pool of a folder of the cache; None, in every process, where it is not there whole and sound."""

    def read() -> Pool | None:
        try:
            return read_pool(folder, "cache") if timm_files_are_sound(folder) else None
        except PoolError:
            return None

    mine = read() if engine.accelerator.is_main_process else None
    if not engine.decide_once(lambda: mine is not None):
        return None
    return mine or read_pool(folder, "cache")


def _open_again(folder: Path, progress: Progress) -> None:
    """Make a pool that is damaged one that is being trained, and say so; members that are sound stay as they are."""
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


def _describe(source: Source, name: str, weights: str | None) -> Architecture:
    info = source.info
    mean, std = channel_statistics(source.train.images)
    architecture = Architecture(name, len(info.class_names), info.channels, info.resolution, mean, std)
    if weights is None:
        return architecture
    # Pretrained weights expect their own normalisation, and may name the architecture themselves.
    network: Any = build_network(architecture, weights)
    config = network.pretrained_cfg
    matches = len(config["mean"]) == info.channels
    return Architecture(
        name_of(network),
        architecture.classes,
        info.channels,
        info.resolution,
        tuple(config["mean"]) if matches else mean,
        tuple(config["std"]) if matches else std,
    )


def _train(
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
    plan = TrainingPlan(
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
    network = build_network(architecture)
    at_once = networks_at_once(network, plan.batch_size, architecture.resolution, engine)
    groups = [members[first : first + at_once] for first in range(0, len(members), at_once)]
    waiting = [group for group in groups if not all(_is_done(folder, member) for member in group)]
    if not waiting:
        return
    trainer = Trainer(network, engine)
    together = TogetherTrainer(build_network(architecture), engine) if at_once > 1 else None
    images, labels = _on_device(source.train, engine)
    updates = plan.updates_per_epoch(len(images)) * plan.epochs
    with progress.bar(updates * sum(len(group) for group in waiting), "pretraining") as bar:
        for group in waiting:
            discard_damaged(partial_file(folder, group), progress)
            pairs = [
                initial_weights(architecture, recipe.seed, member, weights, recipe.init_head_only) for member in group
            ]
            trained = train_members(
                together if together is not None and len(group) > 1 else trainer,
                folder,
                group,
                images,
                labels,
                architecture,
                plan,
                [start for _, start in pairs],
                bar,
            )
            for member, (init, _), end in zip(group, pairs, trained, strict=True):
                save_tensors(member_file(folder, member, "init"), init)
                save_tensors(member_file(folder, member, "trained"), end)
                said = _measure(source, architecture, trainer, folder, member, (init, end))
                progress.note(f"extractor {member + 1} of {recipe.size}: {said}")
            partial_file(folder, group).unlink()


def _on_device(images: ImageSet, engine: Engine) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels on a GPU where a quarter of its free memory holds them; else batches go there one by one."""
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
    """Write down how accurate a member's blends are; says how accurate the trained one is."""
    split, known = _measured_on(source)
    rows = torch.linspace(0, len(known.labels) - 1, min(MEASURED_IMAGES, len(known.labels))).long()
    images, labels = known.images[rows], known.labels[rows]
    accuracy = measure_blends(trainer, pair, images, labels, lambda x: normalise(x, architecture))
    save_record(_measured_file(folder, member), accuracy)
    return f"{accuracy['0.0']:.1f} % on {counted(len(rows), 'image')} of {split}"


def _measured_on(source: Source) -> tuple[str | None, ImageSet]:
    """What a pool's accuracy is measured on: the test split, or what it was trained on where there is none."""
    info = source.info
    return (info.train_split, source.train) if source.test is None else (info.test_split, source.test)


def _measured_file(folder: Path, member: int) -> Path:
    """The accuracy of a member's blends, which says that all of the member is there."""
    return folder / f"{member:02d}.json"


def _is_done(folder: Path, member: int) -> bool:
    """Whether all of a member is there, and sound."""
    try:
        load_record(_measured_file(folder, member))
        for which in ("init", "trained"):
            load_tensors(member_file(folder, member, which))
    except (FileNotFoundError, Damaged):
        return False
    return True


def _describe_pool(source: Source, recipe: PoolRecipe, architecture: Architecture, key: str, folder: Path) -> None:
    accuracy = tuple(load_record(_measured_file(folder, member)) for member in range(recipe.size))
    (init, _), (trained, _) = (load_tensors(member_file(folder, 0, which)) for which in ("init", "trained"))
    names, weights = source.info.class_names, public_weights(recipe.pretrained)
    pool = Pool(architecture, names, ((init, trained),), accuracy, key, "trained here", weights)
    split, known = _measured_on(source)
    description = {
        "recipe": recipe.model_dump() | {"pretrained": weights},
        "source": {"dataset": source.info.public_name}
        | {
            name: getattr(source.info, name)
            for name in ("is_local", "content", "revision", "license", "license_name", "license_link", "fingerprint")
        },
        "measured_on": {"split": split, "images": min(MEASURED_IMAGES, len(known.labels))},
    }
    write_pool_files(folder, pool, description)
    for member in range(recipe.size):  # pool.json says it now
        _measured_file(folder, member).unlink(missing_ok=True)
    for left in folder.glob("*-partial.safetensors"):  # of members that were stopped in other groups
        left.unlink()
