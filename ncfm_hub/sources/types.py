"""A source dataset in memory: uint8 tensors and their origin."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ncfm_hub.errors import SourceError
from ncfm_hub.utils.places import folder_name

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ImageSet:
    """Images of one split, in the split's row order.

    images: uint8 (N, channels, H, W), H = W = the recipe's resolution
    labels: int64 (N,), positions in the list of selected classes (0..C-1)
    """

    images: "torch.Tensor"
    labels: "torch.Tensor"


@dataclass(frozen=True)
class SourceInfo:
    """Everything that identifies a source, known before any image is decoded."""

    dataset: str  # Hub id, or the folder as the user named it
    is_local: bool
    config: str | None
    revision: str | None  # the Hub commit (40 hex digits); None for folders
    image_column: str
    label_column: str
    train_split: str  # a split or a slice (`train[:80%]`), as is the next
    test_split: str | None  # None if nothing is evaluated, or there is no test split
    class_names: tuple[str, ...]  # of the classes used, in order
    class_ids: tuple[int, ...]  # their labels in the source
    resolution: int
    channels: int
    license: str | None  # as stated in the source's card
    citation: str | None
    train_examples: int | None  # rows before the class filter, if known
    test_examples: int | None
    fingerprint: str = ""  # hex digest of everything that determines the tensors
    classes_in_source: int | None = None  # before the class filter
    notes: tuple[str, ...] = ()  # choices made for the user (a substitute split, the packaged copy)
    license_name: str | None = None  # with a link, for a licence without an id
    license_link: str | None = None
    folder: str | None = None  # local path, which must not appear in published files
    content: str | None = None  # digest of a local folder's files

    @property
    def public_name(self) -> str:
        """Name of the source in published files: its Hub id, or the folder's name."""
        return folder_name(self.folder) if self.folder else self.dataset


@dataclass(frozen=True)
class Source:
    """A source read into memory.

    test: None if nothing is evaluated, or there is no test split
    fingerprint: hex digest of everything that determines the tensors (content, columns, classes, resolution)
    notes: messages for the user (for example: a class smaller than requested, grey images repeated)
    """

    info: SourceInfo
    train: ImageSet
    test: ImageSet | None
    fingerprint: str
    notes: tuple[str, ...] = ()

    def tested_on(self) -> ImageSet:
        """Return the test images. Raises SourceError if there are none."""
        if self.test is None:
            raise SourceError(
                f"{self.info.dataset} was loaded without a test split, so test accuracy cannot be measured"
            )
        return self.test

    def class_indices(self) -> "list[torch.Tensor]":
        """Row numbers (int64) of each class in `train`, in its order."""
        return self._rows_by_class

    @cached_property
    def _rows_by_class(self) -> "list[torch.Tensor]":
        from ncfm_hub.sources.rows import rows_by_class

        return rows_by_class(self.train.labels, len(self.info.class_names))
