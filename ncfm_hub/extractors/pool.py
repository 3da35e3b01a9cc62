"""The extractor pool: K pairs (init, trained) of one architecture, on disk and in memory.

A pool folder contains `pool.json` (architecture, class names, recipe, accuracies), `NN-init.safetensors` and
`NN-trained.safetensors` of each member, and a copy of the first trained member as `model.safetensors` with
`config.json`, so that `timm.create_model("local-dir:...")` and `hf-hub:` load it like any model.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ncfm_hub.errors import Damaged, PoolError
from ncfm_hub.extractors.pool_file import POOL_FILE as POOL_FILE
from ncfm_hub.extractors.pool_file import read_pool_file
from ncfm_hub.networks.build import Architecture, Weights, build_network, shapes_of, timm_call
from ncfm_hub.utils.files import cache_root, sha256_file, whole_file, write_json
from ncfm_hub.utils.sealed import add_tensors, contiguous, load_record, load_tensors, save_record

POOL_FORMAT = 1
TIMM_FILES = ("config.json", "model.safetensors")
_WHICH = ("init", "trained")


@dataclass(frozen=True)
class Pool:
    """An extractor pool in memory.

    members: (init, trained) weights by parameter name, on the CPU
    accuracy: per member, beta as text -> top-1 accuracy of the blend in percent; empty if not measured
    measured_on: split and number of images that accuracies were measured on
    key: hex digest of what determines the pool
    origin: "trained here", "cache", or the folder or repository it came from
    folder: where it was read from; None while only in memory
    claims_recipe: whether it is of a Hub, and states the key of the run's settings
    """

    architecture: Architecture
    class_names: tuple[str, ...]
    members: tuple[tuple[Weights, Weights], ...]
    accuracy: tuple[dict[str, float], ...]
    key: str
    origin: str
    pretrained: str | None
    measured_on: dict[str, Any] | None = None
    folder: Path | None = None
    claims_recipe: bool = False

    @cached_property
    def digest(self) -> str:
        """See `digest_of`."""
        return digest_of(self.members)

    def positions(self, class_names: Sequence[str]) -> list[int]:
        """Return the output positions of these classes, which must be among the pool's, see `check_pool_fits`."""
        place = {name: position for position, name in enumerate(self.class_names)}
        return [place[name] for name in class_names]


def digest_of(members: Iterable[tuple[Weights, Weights]]) -> str:
    """Return a hex digest of the bits of all weights, which can differ between pools of the same key."""
    digest = hashlib.sha256()
    for weights in itertools.chain.from_iterable(members):
        add_tensors(digest, weights)
    return digest.hexdigest()


def pools_folder() -> Path:
    """Return the folder of all pools in the cache."""
    return cache_root() / "pools"


def pool_folder(key: str) -> Path:
    """Return the cache folder of a pool trained here."""
    return pools_folder() / key


def blend(member: tuple[Weights, Weights], beta: float) -> Weights:
    """Compute the hybrid extractor beta init + (1 - beta) trained; non-floating buffers are those of trained."""
    init, trained = member
    return {
        name: init[name] * beta + value * (1 - beta) if value.is_floating_point() else value
        for name, value in trained.items()
    }


def member_file(folder: Path, member: int, which: str) -> Path:
    """Return the path of a member's "init" or "trained" weights."""
    return folder / f"{member:02d}-{which}.safetensors"


def member_files(members: int) -> list[str]:
    """Return the names of the weights of so many members."""
    return [member_file(Path(), member, which).name for member in range(members) for which in _WHICH]


def write_pool_files(folder: Path, pool: Pool, description: dict[str, Any]) -> None:
    """Write timm's files beside the members, then `pool.json` with the entries of `description` added."""
    _write_timm_files(folder, pool)
    save_record(
        folder / POOL_FILE,
        {
            "ncfm_hub": POOL_FORMAT,
            "key": pool.key,
            "architecture": pool.architecture.as_dict(),
            "class_names": list(pool.class_names),
            "members": [{"accuracy": accuracy} for accuracy in pool.accuracy],
            "pretrained": pool.pretrained,
            "files": {name: sha256_file(folder / name) for name in TIMM_FILES},
            **description,
        },
    )


def timm_files_are_sound(folder: Path) -> bool:
    """Return whether the files for timm, which `read_pool` does not read, are undamaged."""
    try:
        files = load_record(folder / POOL_FILE)["files"]
        return all(sha256_file(folder / name) == files[name] for name in TIMM_FILES)
    except (OSError, Damaged, KeyError, TypeError):
        return False


def _write_timm_files(folder: Path, pool: Pool) -> None:
    architecture = pool.architecture
    name, model_args = timm_call(architecture)
    configuration, weights = (folder / name for name in TIMM_FILES)
    with whole_file(weights) as temporary:  # a single metadata entry, since the order of several varies
        save_file(contiguous(pool.members[0][1]), temporary, {"format": "pt"})
    # timm needs this to change the number of classes or channels.
    network: Any = build_network(architecture)
    named = network.pretrained_cfg
    layers = {key: named[key] for key in ("first_conv", "classifier") if named.get(key)}
    write_json(
        configuration,
        {
            "architecture": name,
            "num_classes": architecture.classes,
            "num_features": int(_feature_count(pool.members[0][1])),
            "label_names": list(pool.class_names),
            "model_args": model_args,
            "pretrained_cfg": {
                "input_size": [architecture.channels, architecture.resolution, architecture.resolution],
                "mean": list(architecture.mean),
                "std": list(architecture.std),
                "num_classes": architecture.classes,
                "crop_pct": 1.0,
                "interpolation": "bicubic",
                **layers,
            },
        },
    )


def read_pool(folder: Path, origin: str, *, digests_needed: bool = False) -> Pool:
    """Read a pool folder.

    digests_needed: each file must have its digest
    Raises PoolError naming a file that is missing, unreadable or does not match its digest, if it has one.
    """
    _, content = read_pool_file(folder, origin, digest_needed=digests_needed)
    architecture = content.network()
    expected = shapes_of(architecture)

    def weights(member: int, which: str) -> Weights:
        return _read_weights(member_file(folder, member, which), origin, expected, digests_needed)

    pool = Pool(
        architecture,
        tuple(content.class_names),
        tuple((weights(number, "init"), weights(number, "trained")) for number in range(len(content.members))),
        tuple(member.accuracy for member in content.members),
        content.key,
        origin,
        content.pretrained,
        content.measured_on.model_dump() if content.measured_on else None,
        folder,
    )
    if content.digest is not None and content.digest != pool.digest:
        raise PoolError(
            f"{origin}: the weights have the digest {pool.digest[:12]}, and {POOL_FILE} states {content.digest[:12]}; "
            "the folder mixes files of two pools"
        )
    return pool


def check_pool_fits(pool: Pool, class_names: tuple[str, ...], channels: int, resolution: int) -> None:
    """Raise PoolError unless the pool covers these classes (it may cover more) at this size."""
    found = (pool.architecture.channels, pool.architecture.resolution)
    if found != (channels, resolution):
        raise PoolError(
            f"the pool {pool.origin!r} is for {found[0]} x {found[1]} px images; "
            f"the source gives {channels} x {resolution} px"
        )
    missing = [name for name in class_names if name not in pool.class_names]
    if missing:
        raise PoolError(
            f"the pool {pool.origin!r} was trained on other classes ({', '.join(pool.class_names[:3])}, ...), "
            f"{missing[0]!r} of the source not among them; leave --pool out to train one"
        )


def _read_weights(path: Path, origin: str, expected: Weights, digest_needed: bool) -> Weights:
    """Read weights, which must match the architecture exactly: a missing one would silently stay random."""
    try:
        weights, _ = load_tensors(path, digest_needed=digest_needed)
    except (OSError, Damaged) as error:
        raise PoolError(f"{origin}: {path.name} is missing or not readable ({error})") from None
    for name in sorted(expected.keys() | weights.keys()):
        found, wanted = (_kind(side.get(name)) for side in (weights, expected))
        if found != wanted:
            raise PoolError(f"{origin}: {path.name} has {found} for {name!r}; the architecture has {wanted}")
        if not weights[name].isfinite().all():
            raise PoolError(f"{origin}: {path.name} has values in {name!r} that are not finite")
    return weights


def _kind(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _feature_count(weights: Weights) -> int:
    """Return the input width of the classifier: that of the last two-dimensional weight."""
    return [tensor.shape[1] for tensor in weights.values() if tensor.ndim == 2][-1]
