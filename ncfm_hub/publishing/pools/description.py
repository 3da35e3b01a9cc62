"""Describe an extractor pool: in a folder, in the cache or on the Hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncfm_hub.extractors.hub_pool import HubPool
from ncfm_hub.extractors.pool import pools_folder, read_pool
from ncfm_hub.extractors.pool_file import PoolFile, read_pool_file
from ncfm_hub.extractors.pulled import PULLED, pulled_from
from ncfm_hub.publishing.hub.held import held_pool

_FOLDER = "folder"
_HERE = "trained here"


@dataclass(frozen=True)
class PoolDescription:
    """What is known of an extractor pool.

    place: folder, or repository and commit
    origin: "trained here", the repository and commit it was pulled from or is in, or "folder" if unknown
    source: name of the dataset it was trained on; None if unknown
    resolution: side length of the images, px
    accuracy: of each member, beta as text -> top-1 accuracy of the blend in percent; empty if not measured
    pretrained: the weights it was trained from; None if from scratch
    key: digest of the settings that it was trained with
    digest: of the bits of all weights; None if it is not stated
    size: bytes of all its files
    """

    place: str
    origin: str
    source: str | None
    architecture: str
    channels: int
    resolution: int
    class_names: tuple[str, ...]
    members: int
    accuracy: tuple[dict[str, float], ...]
    pretrained: str | None
    key: str
    digest: str | None
    size: int

    def by_beta(self) -> dict[str, float]:
        """Return the mean accuracy of the members that were measured, in percent, by beta."""
        measured = [member for member in self.accuracy if member]
        betas = sorted(set.intersection(*map(set, measured)), key=float) if measured else []
        return {beta: sum(member[beta] for member in measured) / len(measured) for beta in betas}


def describe_pool_folder(folder: Path, *, read: bool = True) -> PoolDescription:
    """Describe the pool in a folder.

    read: read all weights, and so check them and find the digest where it is not stated
    Raises PoolError if it holds no pool, or a damaged one.
    """
    described, content = read_pool_file(folder, str(folder))
    digest = read_pool(folder, str(folder)).digest if read else content.digest
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return _description(str(folder), _origin(folder), described, content, digest, size)


def describe_hub_pool(pool: HubPool) -> PoolDescription:
    """Describe a pool on the Hub."""
    size = sum(pool.sizes.values())
    return _description(pool.place, pool.place, pool.described, pool.content, pool.content.digest, size)


def _origin(folder: Path) -> str:
    if folder.resolve().parent != pools_folder().resolve():
        return _FOLDER
    return pulled_from(folder) if (folder / PULLED).is_file() else _HERE


def _description(
    place: str, origin: str, described: Mapping[str, Any], content: PoolFile, digest: str | None, size: int
) -> PoolDescription:
    held, architecture = held_pool(described), content.architecture
    return PoolDescription(
        place=place,
        origin=origin,
        source=held.dataset if held else None,
        architecture=architecture.name,
        channels=architecture.channels,
        resolution=architecture.resolution,
        class_names=tuple(content.class_names),
        members=len(content.members),
        accuracy=tuple(member.accuracy for member in content.members),
        pretrained=content.pretrained,
        key=content.key,
        digest=digest,
        size=size,
    )
