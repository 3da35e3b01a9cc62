"""The order in which a third-party file counts the classes, where it is not that of the source."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.recipes.files import nearest
from ncfm_hub.utils.named import Named, path_of

if TYPE_CHECKING:
    import torch

    from ncfm_hub.sources import SourceInfo

SORTED, IDS, MTT = "sorted", "ids", "mtt"
KNOWN = (SORTED, IDS, MTT)
_LONGEST = 1 << 20  # bytes of a file of names; those of ImageNet-21k take half
# Where MTT, and methods that took its class lists, count other than by WordNet ID.
_OF_MTT = (
    (
        *("Australian terrier", "Border terrier", "Samoyed", "Beagle", "Shih-Tzu", "English foxhound"),
        *("Rhodesian ridgeback", "Dingo", "Golden retriever", "Old English sheepdog"),
    ),
)


def file_labels(order: Named, info: "SourceInfo") -> list[int]:
    """Return the file's label of each class of the source, in the source's order.

    order: `sorted` (by name), `ids` (by label in the whole source), `mtt`, or a file: names, one a line or as a JSON
        list, counted from 0; or a JSON object {name: label}
    Raises DistilledError if a class of the source is missing or has the label of another.
    """
    names = info.class_names
    if order == SORTED:
        return _positions(sorted(names), names, order)
    if order == IDS:
        return [sorted(info.class_ids).index(one) for one in info.class_ids]
    if order == MTT:
        wanted = {_key(name) for name in names}
        found = next((one for one in _OF_MTT if {_key(name) for name in one} == wanted), None)
        if found is None:
            raise DistilledError("--class-order mtt is known for Imagewoof alone; give the order as a file of names")
        return _positions(found, names, order)
    path = path_of(order)
    listed = _read(path)
    if isinstance(listed, dict):
        return _labels(listed, names, path)
    return _positions(listed, names, path)


def apply_order(labels: "torch.Tensor", numbers: Sequence[int]) -> "torch.Tensor":
    """Return labels that count as the source does: class numbers (S,), or one column a class (S, C).

    numbers: the file's label of each class, in the source's order
    Raises DistilledError for a label that is not among them, or columns that they do not number.
    """
    import torch

    if labels.ndim == 2:
        if max(numbers) >= labels.shape[1]:
            raise DistilledError(
                f"--class-order has label {max(numbers)}; labels of {labels.shape[1]} columns need 0 to "
                f"{labels.shape[1] - 1}"
            )
        return labels[:, torch.tensor(numbers)]
    hits = labels[:, None] == torch.tensor(numbers)
    if not hits.any(1).all():
        strange = labels[~hits.any(1)][0].item()
        raise DistilledError(f"label {strange:g} is that of no class in --class-order, which has {len(numbers)}")
    return hits.int().argmax(1)


def _positions(listed: Sequence[str], names: Sequence[str], where: Named) -> list[int]:
    twice = next((name for name in listed if listed.count(name) > 1), None)
    if twice is not None:
        raise DistilledError(f"class order {where} names {twice[:80]!r} twice")
    return _labels({name: index for index, name in enumerate(listed)}, names, where)


def _labels(given: Mapping[str, int], names: Sequence[str], where: Named) -> list[int]:
    """Return the label of each name; case, `_` and `-` do not count, and a name matches one of its synonyms."""
    loose = {_key(name): label for name, label in given.items()}
    found: list[int] = []
    for name in names:
        keys = [_key(name), *map(_key, name.split(","))]
        label = given[name] if name in given else next((loose[key] for key in keys if key in loose), None)
        if label is None:
            raise DistilledError(
                f"class order {where} lacks the source's class {name!r}{nearest(name, given, 'classes')}"
            )
        if label in found:
            raise DistilledError(
                f"class order {where} gives label {label} to {names[found.index(label)]!r} and {name!r}"
            )
        found.append(label)
    return found


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _read(path: Path) -> Any:
    """Return a list of names, or a dict of labels by name."""
    try:
        if path.stat().st_size > _LONGEST:
            raise DistilledError(f"{path} is larger than {_LONGEST:,} bytes; expected class names, one a line")
        text = path.read_text("utf-8")
        if path.suffix.lower() != ".json":
            return [line.strip() for line in text.splitlines() if line.strip()]
        listed = json.loads(text)
    except OSError as error:
        known = ", ".join(KNOWN)
        raise DistilledError(
            f"--class-order {path}: no such file; expected one, or {known} ({error.strerror})"
        ) from None
    except (ValueError, RecursionError):
        raise DistilledError(f"{path} is not UTF-8 text or JSON; expected class names") from None
    if isinstance(listed, dict) and all(type(label) is int and 0 <= label < 1 << 31 for label in listed.values()):
        return listed
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return listed
    raise DistilledError(f"{path} holds other JSON than a list of names, or an object of labels by name")
