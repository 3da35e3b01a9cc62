"""Read a Hub dataset or a local folder into uint8 tensors by class.

Shapes: N images, C classes, `channels` 1 or 3, H = W = the recipe's resolution.
"""

from ncfm_hub.sources.load import inspect_source, load_source
from ncfm_hub.sources.place import packaged_digits
from ncfm_hub.sources.splits import TestSplit, test_split_needed
from ncfm_hub.sources.types import ImageSet, Source, SourceInfo
from ncfm_hub.sources.validation import cut_validation, is_validation, planned_validation, too_small_notes

__all__ = [
    "ImageSet",
    "Source",
    "SourceInfo",
    "TestSplit",
    "cut_validation",
    "inspect_source",
    "is_validation",
    "load_source",
    "packaged_digits",
    "planned_validation",
    "test_split_needed",
    "too_small_notes",
]
