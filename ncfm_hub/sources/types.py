"""What a source dataset is once it has been read: uint8 tensors and where they come from."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ncfm_hub.errors import SourceError
from ncfm_hub.utils.places import folder_name

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ImageSet:
    """Images of one split.

    images: uint8 (N, channels, H, W), H = W = the recipe's resolution
    labels: int64 (N,), positions in the class list (0..C-1, after the class filter), in the split's row order
    """

    images: "torch.Tensor"
    labels: "torch.Tensor"


@dataclass(frozen=True)
class SourceInfo:
    """Everything that identifies a source, known before a single image is decoded."""

    dataset: str  # Hub id, or the folder as the user named it
    is_local: bool
    config: str | None
    revision: str | None  # the Hub commit (40 hex digits); None for folders
    image_column: str
    label_column: str
    train_split: str  # a split, or a slice of one (`train[:80%]`); so is the next
    test_split: str | None  # None where nothing is measured, or nothing was found to measure on
    class_names: tuple[str, ...]  # of the classes used, in order
    class_ids: tuple[int, ...]  # their labels in the source
    resolution: int
    channels: int
    license: str | None  # as the source's card states it
    citation: str | None
    train_examples: int | None  # rows before the class filter, where known
    test_examples: int | None
    fingerprint: str = ""  # hex digest of everything that determines the tensors, as in Source
    classes_in_source: int | None = None  # before the class filter
    notes: tuple[str, ...] = ()  # what was decided on the user's behalf (a split that stands in, the packaged copy)
    license_name: str | None = None  # both as the card states them, where `license` alone does not say it all
    license_link: str | None = None
    folder: str | None = None  # the user's own, whose path no published file may have
    content: str | None = None  # digest of the files of a local folder

    @property
    def public_name(self) -> str:
        """What published files call the source: its Hub id, or the name of its folder."""
        return folder_name(self.folder) if self.folder else self.dataset


@dataclass(frozen=True)
class Source:
    """A source read whole.

    test: None where nothing is measured, or there is nothing to measure on
    fingerprint: hex digest of everything that determines the tensors (content, columns, classes, resolution)
    notes: lines a user should see (for example: a class smaller than asked, grey images repeated)
    """

    info: SourceInfo
    train: ImageSet
    test: ImageSet | None
    fingerprint: str
    notes: tuple[str, ...] = ()

    def tested_on(self) -> ImageSet:
        """The images that are measured on. SourceError where there are none."""
        if self.test is None:
            raise SourceError(f"{self.info.dataset} was read without a test split, so nothing can be measured on it")
        return self.test

    def class_indices(self) -> "list[torch.Tensor]":
        """Row numbers (int64) of every class in `train`, in its order."""
        return self._rows_by_class

    @cached_property
    def _rows_by_class(self) -> "list[torch.Tensor]":
        from ncfm_hub.sources.rows import rows_by_class

        return rows_by_class(self.train.labels, len(self.info.class_names))
