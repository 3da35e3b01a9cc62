"""Folder names that say which split lies in them."""

import re
from collections.abc import Iterable

# As `datasets` reads them.
_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
_BETWEEN = re.compile(r"[-._ 0-9]+")


def split_word(name: str) -> str | None:
    """The word in a name that tells a split: "train" in `Train`, `train-0`, `seg_train`; None without, or with two."""
    found = {word for word in _BETWEEN.split(name.lower()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def is_plain(name: str) -> bool:
    """Whether a name is a word for a split, perhaps numbered: `train`, `test_1`, `val2017`, not `crash test`."""
    return _BETWEEN.sub("", name.lower()) in _SPLITS


def split_names(words: Iterable[str]) -> dict[str, str]:
    """The split that each word names. Two words for one split, `val` and `dev`, are two splits."""
    several = set(words)
    rivals = [_SPLITS[word] for word in several]
    return {word: _SPLITS[word] if rivals.count(_SPLITS[word]) == 1 else word for word in several}
