"""A dataset whose layout is known and whose images need not be here yet."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ncfm_hub.sources.place import Place

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, Features

Only = tuple[str, Sequence[int | str]]  # a label column, and the values wanted of it


@dataclass(frozen=True)
class Opened(ABC):
    """What a place holds.

    config: the name of the configuration
    splits: every split with its number of rows, None where nobody has said it
    notes: what a user should know of the layout
    reader: version of what finds rows and labels, where that is ours and not that of `datasets`
    """

    place: Place
    config: str
    features: "Features"
    splits: dict[str, int | None]
    notes: tuple[str, ...]
    reader: str | None

    @abstractmethod
    def stream_labels(self, split: str, column: str) -> Iterator["pa.ChunkedArray"]:
        """A label column in parts, read without its images where the files allow it."""

    @abstractmethod
    def load(self, splits: Sequence[str], columns: Sequence[str], only: Only | None) -> dict[str, "Dataset"]:
        """Fetch `splits` with these columns, and `only` the rows that match where the files allow it."""

    @abstractmethod
    def row_name(self, split: str, only: Only | None, row: int, loaded: int) -> str:
        """How a user finds a row of a split that `load` gave for `only`, with `loaded` rows."""

    @abstractmethod
    def files_of(self, split: str) -> set[str]:
        """Where the rows of a split come from: files, or members of them; links are followed."""
