"""Training and test rows of a source: splits, or slices of them in the notation of `datasets`."""

import re
from collections.abc import Mapping
from typing import Literal

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.schema import SourceRecipe

# Whether test images must exist, may be missing, or are not read.
TestSplit = Literal["required", "if there", "unread"]

_DEFAULT_TEST = "test"
_OTHER_TESTS = ("validation", "valid", "val", "dev")
_SLICE = re.compile(r"[^\[\]+]+\[(-?\d+%?)?:(-?\d+%?)?\]")


def test_split_needed(students: int, validation: bool) -> TestSplit:
    """Return how a run uses the test split: not required without students, unread with `validation`."""
    if validation:
        return "unread"
    return "required" if students else "if there"


def split_of(part: str) -> str:
    """Return the split of a part: the part itself, or the split that a slice like `train[:80%]` is taken from."""
    return part.partition("[")[0]


def is_slice(part: str) -> bool:
    """Return whether a part is a slice of its split."""
    return "[" in part


def rows_of_part(part: str, rows: int) -> range:
    """Return the rows of a part, given its split's number of rows. Raises SourceError for an empty slice."""
    from datasets import ReadInstruction

    if not is_slice(part):
        return range(rows)
    try:
        (found,) = ReadInstruction.from_spec(part).to_absolute({split_of(part): rows})
        chosen = range(rows)[found.from_ : found.to]
    except (AssertionError, ValueError):
        chosen = range(0)
    if not chosen:
        raise SourceError(f"the slice {part!r} selects no rows of a split of {rows}; expected bounds within the split")
    return chosen


def count_of(part: str | None, splits: Mapping[str, int | None]) -> int | None:
    """Return the number of rows of a part, None if its split's is unknown."""
    rows = splits[split_of(part)] if part else None
    return None if part is None or rows is None else len(rows_of_part(part, rows))


def choose_parts(
    splits: Mapping[str, int | None], spec: SourceRecipe, needed: TestSplit, dataset: str
) -> tuple[str, str | None, list[str]]:
    """Return (training part, test part or None, notes) for a recipe.

    If the test split is left at its default and missing, the only split named like a validation split is used.

    splits: number of rows by split, None if unknown
    Raises SourceError listing the splits, and how to go on without a test split.
    """
    train, test, notes = spec.train_split, spec.test_split, []
    others = [name for name in _OTHER_TESTS if name in splits]
    _must_exist(train, "--train-split", splits, dataset)
    if needed == "unread":
        return train, None, []
    if test == _DEFAULT_TEST and test not in splits and len(others) == 1 and split_of(train) != others[0]:
        test = others[0]
        notes.append(f"{dataset} has no split 'test'; test accuracy is measured on its split {test!r}")
    if test == _DEFAULT_TEST and test not in splits and needed == "if there":
        return train, None, []
    _must_exist(test, "--test-split", splits, dataset)
    check_apart(train, test, splits[split_of(train)], dataset)
    return train, test, notes


def check_apart(train: str, test: str, rows: int | None, dataset: str) -> None:
    """Raise SourceError if training and test rows overlap. rows: of the split, if known."""
    if split_of(train) != split_of(test):
        return
    if not (is_slice(train) and is_slice(test)):
        shared = True
    elif rows is None:
        return
    else:
        ours, theirs = rows_of_part(train, rows), rows_of_part(test, rows)
        shared = max(ours.start, theirs.start) < min(ours.stop, theirs.stop)
    if shared:
        cut = f"--train-split '{split_of(train)}[:80%]' --test-split '{split_of(train)}[80%:]'"
        raise SourceError(
            f"{dataset}: training split {train!r} and test split {test!r} overlap; use disjoint splits, "
            f"for example {cut}"
        )


def _must_exist(part: str, flag: str, splits: Mapping[str, int | None], dataset: str) -> None:
    if is_slice(part) and not _SLICE.fullmatch(part):
        raise SourceError(
            f"{dataset}: {flag} {part!r} is not a slice of a split; expected NAME[from:to], for example train[:80%]"
        )
    if split_of(part) in splits:
        return
    remedy = f"choose one with {flag}"
    if flag == "--test-split" and splits:
        first = next(iter(splits))
        remedy += (
            f", or slices of one (--train-split '{first}[:80%]' --test-split '{first}[80%:]'); `distill` needs none "
            "with --validation, or with --students 0"
        )
    raise SourceError(f"{dataset} has no split {split_of(part)!r}; available: {', '.join(splits) or 'none'}; {remedy}")
