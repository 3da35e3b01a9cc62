"""A dataset whose layout is known and whose images may not be downloaded yet."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ncfm_hub.sources.place import Place

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, Features

Only = tuple[str, Sequence[int | str]]  # a label column and the wanted values


@dataclass(frozen=True)
class Opened(ABC):
    """An opened dataset.

    config: name of the configuration
    splits: number of rows of each split, None if unknown
    notes: what a user should know about the layout
    reader: version of the code that finds rows and labels, if it is not that of `datasets`
    """

    place: Place
    config: str
    features: "Features"
    splits: dict[str, int | None]
    notes: tuple[str, ...]
    reader: str | None

    @abstractmethod
    def stream_labels(self, split: str, column: str) -> Iterator["pa.ChunkedArray"]:
        """Yield a label column in chunks, without reading images if the file format allows it."""

    @abstractmethod
    def load(self, splits: Sequence[str], columns: Sequence[str], only: Only | None) -> dict[str, "Dataset"]:
        """Download `splits` with these columns, and only the rows that match `only` if the file format allows it."""

    @abstractmethod
    def row_name(self, split: str, only: Only | None, row: int, loaded: int) -> str:
        """Return a name that helps a user find a row of a split that `load` returned for `only`, with `loaded` rows."""

    @abstractmethod
    def files_of(self, split: str) -> set[str]:
        """Return the files or archive members that the rows of a split come from, links resolved."""
