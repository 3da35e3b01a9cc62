"""Folder names that denote splits."""

import re
from collections.abc import Iterable

# As interpreted by `datasets`.
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
    """Return the split word in a name: "train" in `Train`, `train-0`, `seg_train`; None if there is none or two."""
    found = {word for word in _BETWEEN.split(name.lower()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def is_plain(name: str) -> bool:
    """Return whether a name is a split word, possibly numbered: `train`, `test_1`, `val2017`, but not `crash test`."""
    return _BETWEEN.sub("", name.lower()) in _SPLITS


def split_names(words: Iterable[str]) -> dict[str, str]:
    """Return the split for each word. Two words for one split, `val` and `dev`, are two splits."""
    several = set(words)
    rivals = [_SPLITS[word] for word in several]
    return {word: _SPLITS[word] if rivals.count(_SPLITS[word]) == 1 else word for word in several}
