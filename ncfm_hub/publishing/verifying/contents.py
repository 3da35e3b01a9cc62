"""Read the parts of a dataset one by one, so that a damaged part does not hide the others."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ncfm_hub.errors import DistilledError, NcfmHubError
from ncfm_hub.publishing.cards.merging import Card, parse_card
from ncfm_hub.publishing.dataset.dataset import LARGEST_FACTOR
from ncfm_hub.publishing.dataset.layout import (
    CARD,
    CONFIGS,
    PIPELINE,
    RESULTS,
    SHARD_PATTERN,
    TENSORS,
    Config,
    config_of,
    directory_of,
)
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.publishing.dataset.reading import read_config, read_tensors, read_values
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch

T = TypeVar("T")
_NUMBERS: dict[Config, tuple[str, ...]] = {
    "default": ("label", "soft_label", "stored_index", "tile"),
    "stored": ("label", "index"),
}


class NotRead(NcfmHubError):
    """A check needs a part that could not be read; the check of that part says why."""


@dataclass(frozen=True)
class Part(Generic[T]):
    """A part of a dataset: its content, or why it could not be read."""

    name: str
    content: T | None
    problem: str | None = None

    def get(self) -> T:
        """Return the content. Raises NotRead."""
        if self.content is None:
            raise NotRead(f"{self.name} could not be read")
        return self.content


@dataclass(frozen=True)
class Tensors:
    """distilled.safetensors: stored images uint8 (S, c, H, W), labels int64 (S,), soft labels float32 (M, C)."""

    class_names: tuple[str, ...]
    factor: int
    images: "torch.Tensor"
    labels: "torch.Tensor"
    soft_labels: "torch.Tensor"

    @property
    def decoded(self) -> int:
        """Number of training images that the stored images decode into."""
        return len(self.images) * self.factor**2


@dataclass(frozen=True)
class Table:
    """A configuration: PNG files by row, and the other columns as arrays."""

    schema: "pa.Schema"
    pictures: list[Any]
    columns: "dict[str, np.ndarray]"


@dataclass(frozen=True)
class Contents:
    """All parts of a dataset; `rows` are of the configurations, as their footers state them."""

    at: SetPlace
    tensors: Part[Tensors]
    rows: dict[Config, Part[int]]
    tables: dict[Config, Part[Table]]
    pipeline: Part[dict[str, Any]]
    results: Part[dict[str, Any]]
    card: Part[Card]

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.at.folder

    def place(self, config: Config) -> str:
        """Return a configuration as messages name it."""
        return f"{directory_of(self.folder, config).name}/"

    def on_card(self, config: Config, key: str) -> Any:
        """Return an entry of what the card's header states of a configuration; None if it states none."""
        infos = self.card.content.header.get("dataset_info") if self.card.content is not None else None
        name = config_of(self.at.name, config) if self.at.name else config
        named = (info for info in infos or [] if isinstance(info, dict) and info.get("config_name") == name)
        return next(named, {}).get(key)


def read_contents(at: SetPlace) -> Contents:
    """Read each part of the dataset at a place; never raises for what is in the files."""
    folder = at.folder
    tensors = part(TENSORS, partial(_tensors, folder))
    directories = {config: directory_of(folder, config) for config in CONFIGS}
    return Contents(
        at,
        tensors,
        {config: part(f"{directory.name}/", partial(_rows, directory)) for config, directory in directories.items()},
        {
            config: part(f"{directory.name}/", partial(_table, directory, config, tensors))
            for config, directory in directories.items()
        },
        part(PIPELINE, partial(read_pipeline, folder)),
        part(RESULTS, partial(read_results, folder)),
        part(CARD, partial(_card, at.root / CARD)),
    )


def part(name: str, read: Callable[[], T]) -> Part[T]:
    """Read a part; whatever goes wrong is kept as its problem."""
    try:
        return Part(name, read())
    except NcfmHubError as error:
        return Part(name, None, str(error))
    except Exception as error:  # files of strangers break the libraries that read them in ways no list covers
        return Part(name, None, f"{name} cannot be read: {type(error).__name__}: {error}")


def _tensors(folder: Path) -> Tensors:
    import torch

    about, found = read_tensors(folder / TENSORS)
    if about["factor"] > LARGEST_FACTOR:
        raise DistilledError(f"{TENSORS} has factor {about['factor']}; expected at most {LARGEST_FACTOR}")
    tensors = Tensors(
        tuple(about["class_names"]), about["factor"], *(found[key] for key in ("images", "labels", "soft_labels"))
    )
    expected = {
        "images": (torch.uint8, 4),
        "labels": (torch.int64, 1),
        "soft_labels": (torch.float32, 2),
    }
    for name, (dtype, axes) in expected.items():
        if (found[name].dtype, found[name].ndim) != (dtype, axes):
            shape = tuple(found[name].shape)
            raise DistilledError(f"{TENSORS}: {name} is {found[name].dtype} {shape}; expected {dtype} of {axes} axes")
    if tensors.images.shape[1] not in (1, 3) or not tensors.images.numel():
        raise DistilledError(f"{TENSORS}: images are {tuple(tensors.images.shape)}; expected (S > 0, 1 or 3, H, W)")
    return tensors


def _rows(directory: Path) -> int:
    return sum(footer.num_rows for footer in _footers(directory))


def _footers(directory: Path) -> "list[pa.parquet.FileMetaData]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return [pq.read_metadata(shard) for shard in sorted(directory.glob(f"{SHARD_PATTERN}.parquet"))]
    except (pa.ArrowException, OSError) as error:
        raise DistilledError(f"{directory.name}/ cannot be read as parquet: {error}") from error


def _table(directory: Path, config: Config, tensors: Part[Tensors]) -> Table:
    """Read a configuration, unless its footers announce more than a dataset of these tensors can hold."""
    footers, made = _footers(directory), tensors.get()
    rows = sum(footer.num_rows for footer in footers)
    size = sum(footer.row_group(group).total_byte_size for footer in footers for group in range(footer.num_row_groups))
    expected = made.decoded if config == "default" else len(made.images)
    # No PNG takes twice as much as its pixels; the rest is for what surrounds them in a row.
    most = rows * (2 * made.images[0].numel() + 16 * len(made.class_names) + 4096) + 65_536
    if rows > expected or size > most:
        raise DistilledError(
            f"{directory.name}/ holds {rows:,} rows of {size:,} bytes; expected {expected:,} rows: not read"
        )
    table = read_config(directory)
    pictures, columns = read_values(directory, table, _NUMBERS[config])
    return Table(table.schema, pictures, columns)


def _card(path: Path) -> Card:
    if not path.is_file():
        raise DistilledError(f"there is no {CARD}")
    return parse_card(path.read_text(encoding="utf-8"), CARD)
