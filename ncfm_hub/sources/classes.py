"""The classes of a source: names, labels, and the recipe's selection of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.files import nearest

if TYPE_CHECKING:
    import pyarrow as pa

UNLABELLED = -1


@dataclass(frozen=True)
class Classes:
    """The classes used, in order.

    names: as shown to people
    ids: their numbers in the source (the integer label; for text, the position among the sorted texts)
    values: their values in the label column (int or str)
    unlabelled: whether the column marks rows without a label by -1
    chosen: whether the recipe left some classes out
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]
    values: tuple[int | str, ...]
    unlabelled: bool
    chosen: bool = False

    def choose(self, wanted: Sequence[str | int] | None, dataset: str, least: int = 2) -> "Classes":
        """Select the classes `wanted` (names or indices), in that order; None keeps all.

        Raises SourceError if fewer than `least` remain.
        """
        if wanted is None:
            picked = list(range(len(self.names)))
        else:
            picked = [self._index(one, dataset) for one in wanted]
            twice = [self.names[index] for index in picked if picked.count(index) > 1]
            if twice:
                raise SourceError(f"{dataset}: class {twice[0]!r} appears twice in the class filter")
        if len(picked) < least:
            have = "the class filter leaves" if wanted is not None else "there is"
            raise SourceError(f"{dataset}: {have} {len(picked)} class; expected two or more")
        names = tuple(self.names[index] for index in picked)
        ids = tuple(self.ids[index] for index in picked)
        values = tuple(self.values[index] for index in picked)
        return Classes(names, ids, values, self.unlabelled, wanted is not None)

    def _hint(self, wanted: str) -> str:
        whole = next((name for name in self.names if wanted in map(str.strip, name.split(","))), None)
        if whole is None:
            return nearest(wanted, self.names, "classes")
        return f"; the class {whole!r} has a comma in its name: put it in double quotes between the commas of --classes"

    def _index(self, wanted: str | int, dataset: str) -> int:
        count = len(self.names)
        if isinstance(wanted, str):
            hits = [index for index, name in enumerate(self.names) if name == wanted]
            if len(hits) == 1:
                return hits[0]
            if hits:
                raise SourceError(
                    f"{dataset}: {len(hits)} classes are named {wanted!r}; give the index (0 to {count - 1})"
                )
            if not wanted.isdecimal():
                raise SourceError(f"{dataset} has no class {wanted!r}{self._hint(wanted)}")
        if not 0 <= int(wanted) < count:
            raise SourceError(f"{dataset} has no class index {wanted}; expected 0 to {count - 1}")
        return int(wanted)

    def positions(self, labels: "pa.ChunkedArray", where: str) -> np.ndarray:
        """Map labels to int64 (N,) positions in `names`; -1 for rows without a label or of a class left out.

        Raises SourceError with the row and `where` for an unknown label.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = np.flatnonzero(~_nulls(labels))
        known = labels.take(pa.array(rows))
        text = isinstance(self.values[0], str)
        keys: Any = np.asarray(self.values, dtype=object if text else np.int64)
        found = (pc.cast(known, "string") if text else known).to_numpy()
        order = np.argsort(keys)
        nearest_key = np.searchsorted(keys[order], found).clip(max=len(keys) - 1)
        hit = keys[order][nearest_key] == found
        strange = ~hit & (found != UNLABELLED) if self.unlabelled else ~hit
        if strange.any() and not self.chosen:
            first = int(np.flatnonzero(strange)[0])
            raise SourceError(
                f"{where}, row {rows[first]}: label {found[first]!s:.60} is not one of the {len(keys)} classes"
            )
        positions = np.full(len(labels), UNLABELLED, np.int64)
        positions[rows] = np.where(hit, order[nearest_key], UNLABELLED)
        return positions

    def without_label(self, labels: "pa.ChunkedArray") -> dict[str, int]:
        """Count rows without a label by the value in its place; only values that occur."""
        import pyarrow.compute as pc

        marked = pc.sum(pc.equal(labels, UNLABELLED)).as_py() if self.unlabelled else 0
        counts = {"null": int(_nulls(labels).sum()), str(UNLABELLED): int(marked or 0)}
        return {mark: count for mark, count in counts.items() if count}


def _nulls(labels: "pa.ChunkedArray") -> np.ndarray:
    import pyarrow.compute as pc

    return np.asarray(pc.is_null(labels, nan_is_null=True))


def classes_of_feature(names: Sequence[str]) -> Classes:
    """Return the classes of a ClassLabel column."""
    numbers = tuple(range(len(names)))
    return Classes(tuple(names), numbers, numbers, unlabelled=True)


def classes_of_values(distinct: Sequence[Any]) -> Classes:
    """Return the classes of a text, integer or boolean column.

    distinct: the distinct labels of the training split, without nulls
    """
    values = sorted(value for value in set(distinct) if value is not None)
    if values and isinstance(values[0], str):
        return Classes(tuple(values), tuple(range(len(values))), tuple(values), unlabelled=False)
    # -1 marks rows without a label, unless fewer than two classes remain without it (labels -1 and 1).
    others = [value for value in values if value != UNLABELLED]
    unlabelled = len(others) >= 2 and others[0] >= 0 and not isinstance(others[0], bool)
    values = others if unlabelled else values
    names = [str(value if isinstance(value, bool) else int(value)) for value in values]
    return Classes(tuple(names), tuple(map(int, values)), tuple(values), unlabelled)
