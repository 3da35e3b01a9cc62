"""Checks of the data files: configurations, classes, counts and labels.

Each check returns one line on what it compared, and raises DistilledError for the first thing that is wrong. Shapes:
S stored images, M = S * factor**2 training images, C classes.
"""

import json
import re
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import CARD, CONFIGS, PIPELINE, SHARD_PATTERN, TENSORS, Config, directory_of
from ncfm_hub.publishing.dataset.writing import features
from ncfm_hub.publishing.verifying.contents import Contents, Table
from ncfm_hub.utils.counting import counted

if TYPE_CHECKING:
    import torch

_SHARD_OF = re.compile(r"train-(\d+)-of-(\d+)\.parquet")
SUM_TOLERANCE = 1e-4  # softmax of thousands of classes in float32 is nearer to one


def check_schema(it: Contents) -> str:
    """All shards and the tensors can be read, with the documented columns and types."""
    for config in CONFIGS:
        _check_shards(it, config)
    for problem in (it.tensors.problem, *(table.problem for table in it.tables.values())):
        if problem:
            raise DistilledError(problem)
    names = it.tensors.get().class_names
    for config in CONFIGS:
        expected, found = features(config, names).arrow_schema, it.tables[config].get().schema
        for field in expected:
            kind = found.field(field.name).type
            if kind != field.type:
                raise DistilledError(f"{it.place(config)}: column {field.name!r} is {kind}; expected {field.type}")
        if more := sorted(set(found.names) - set(expected.names)):
            raise DistilledError(
                f"{it.place(config)}: unknown column {more[0]!r}; expected {', '.join(expected.names)}"
            )
    return f"{', '.join(CONFIGS)} and {TENSORS} have the documented columns and types"


def _check_shards(it: Contents, config: Config) -> None:
    there = {path.name for path in directory_of(it.folder, config).glob(SHARD_PATTERN)}
    place = it.place(config)
    if not there:
        raise DistilledError(f"{place} has no {SHARD_PATTERN}.parquet")
    for name in sorted(there):
        found = _SHARD_OF.fullmatch(name)
        if not found:
            raise DistilledError(f"{place}{name} would be loaded with the dataset and is not one of its shards")
        shards = int(found[2])
        # Not all names that a file may announce, since it may announce any number.
        if shards != len(there) or int(found[1]) >= shards:
            raise DistilledError(f"{place} has {counted(len(there), 'shard')}; {name} says there are {shards:,}")


def check_class_names(it: Contents) -> str:
    """The class names are the same, in the same order, wherever they stand."""
    names = list(it.tensors.get().class_names)
    if len(set(names)) != len(names):
        raise DistilledError(f"{TENSORS} names a class twice: {max(names, key=names.count)!r}")
    tables = {config: part.content for config, part in it.tables.items()}
    said = {it.place(config): _names_in(table) for config, table in tables.items() if table is not None}
    if it.pipeline.content is not None:
        said[PIPELINE] = _entry(it.pipeline.content, "source", "class_names")
    if it.card.content is not None:
        said |= {f"{CARD} ({config})": _names_on_card(it.on_card(config, "features")) for config in CONFIGS}
    for place, found in said.items():
        if found != names:
            raise DistilledError(f"{place} has the classes {_list(found)}; {TENSORS} has {_list(names)}")
    return f"{counted(len(names), 'class')}, the same in {', '.join([TENSORS, *said])}"


def _names_in(table: Table) -> Any:
    try:
        about = json.loads((table.schema.metadata or {})[b"huggingface"])
        return about["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _names_on_card(features: Any) -> Any:
    labels = [c for c in features or [] if isinstance(c, dict) and c.get("name") == "label"]
    names = _entry(labels[0], "dtype", "class_label", "names") if labels else None
    return list(names.values()) if isinstance(names, dict) else names


def _entry(content: Any, *keys: str) -> Any:
    """Return a value of nested mappings; None if there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _list(names: Any) -> str:
    return ", ".join(map(str, names[:5])) + ", ..." * (len(names) > 5) if isinstance(names, list) else "unnamed"


def check_counts(it: Contents) -> str:
    """The images are as many as pipeline.yaml says: IPC per class, each decoded into factor x factor."""
    described = it.pipeline.get()
    ipc, factor = described.get("ipc"), _entry(described, "recipe", "distillation", "factor")
    classes = _entry(described, "source", "class_names")
    if type(ipc) is not int or type(factor) is not int or not isinstance(classes, list):
        raise DistilledError(f"{PIPELINE} does not state ipc, factor and class names")
    stored, decoded = len(classes) * ipc, len(classes) * ipc * factor**2
    tensors = it.tensors.get()
    found = {
        it.place("stored"): (it.rows["stored"].get(), stored),
        it.place("default"): (it.rows["default"].get(), decoded),
        f"{TENSORS}, images": (len(tensors.images), stored),
        f"{TENSORS}, soft labels": (len(tensors.soft_labels), decoded),
        f"{TENSORS}, factor": (tensors.factor, factor),
    }
    for config, expected in zip(CONFIGS, (decoded, stored), strict=True):
        splits = it.on_card(config, "splits")
        if isinstance(splits, list) and splits:
            found[f"{CARD} ({config})"] = (_entry(splits[0], "num_examples"), expected)
    for place, (number, expected) in found.items():
        if number != expected:
            raise DistilledError(f"{place} has {number}; {PIPELINE} says {expected}")
    return f"{counted(stored, 'stored image')}, {decoded:,} decoded: {len(classes)} classes, ipc {ipc}, factor {factor}"


def check_balance(it: Contents) -> str:
    """Each class has the same number of images."""
    import torch

    classes, tensors = len(it.tensors.get().class_names), it.tensors.get()
    for place, labels in _labels(it).items():
        if labels.min() < 0 or labels.max() >= classes:
            raise DistilledError(f"{place} has labels {labels.min()} to {labels.max()}; expected 0 to {classes - 1}")
        of_class = torch.bincount(labels, minlength=classes)
        if of_class.min() != of_class.max():
            most, least = int(of_class.argmax()), int(of_class.argmin())
            raise DistilledError(
                f"{place}: class {tensors.class_names[most]!r} has {of_class[most]} images and "
                f"{tensors.class_names[least]!r} has {of_class[least]}"
            )
    return f"{len(tensors.images) // classes} stored images in each of {counted(classes, 'class')}"


def check_hard_labels(it: Contents) -> str:
    """Labels count class by class, and stored_index, tile and index locate each image."""
    import torch

    tensors = it.tensors.get()
    stored, per_stored = len(tensors.images), tensors.factor**2
    classes = len(tensors.class_names)
    in_order = torch.arange(classes).repeat_interleave(max(1, stored // classes))
    default, kept = (it.tables[config].get().columns for config in ("default", "stored"))
    expected: dict[str, tuple[Any, torch.Tensor]] = {
        f"{TENSORS}: label": (tensors.labels, in_order),
        f"{it.place('stored')}: label": (kept["label"], in_order),
        f"{it.place('stored')}: index": (kept["index"], torch.arange(stored)),
        f"{it.place('default')}: label": (default["label"], in_order.repeat_interleave(per_stored)),
        f"{it.place('default')}: stored_index": (
            default["stored_index"],
            torch.arange(stored).repeat_interleave(per_stored),
        ),
        f"{it.place('default')}: tile": (default["tile"], torch.arange(per_stored).repeat(stored)),
    }
    for place, (column, right) in expected.items():
        found = torch.as_tensor(column).long()
        if len(found) != len(right):
            raise DistilledError(f"{place} has {counted(len(found), 'row')}; expected {len(right)}")
        row = first_difference(found, right)
        if row is not None:
            raise DistilledError(f"{place} of row {row} is {found[row]}; expected {right[row]}")
    return "labels, index, stored_index and tile are in order and agree"


def first_difference(one: "torch.Tensor", other: "torch.Tensor") -> int | None:
    """Return the first row in which two tensors of equal shape differ; None if they are equal."""
    differ = (one != other).view(len(one), -1).any(1)
    return int(differ.int().argmax()) if differ.any() else None


def check_soft_labels(it: Contents) -> str:
    """Soft labels are probabilities that sum to one, and equal those in the tensors."""
    import torch

    tensors = it.tensors.get()
    soft = torch.from_numpy(it.tables["default"].get().columns["soft_label"])
    for place, values in ((it.place("default"), soft), (TENSORS, tensors.soft_labels)):
        if values.shape[1] != len(tensors.class_names):
            raise DistilledError(f"{place}: soft labels have {values.shape[1]} values; expected one for each class")
        if not torch.isfinite(values).all() or (values < 0).any():
            raise DistilledError(f"{place}: soft labels are not probabilities: some are negative or not finite")
        sums = values.double().sum(1)
        row = int((sums - 1).abs().argmax())
        if abs(sums[row] - 1) > SUM_TOLERANCE:
            raise DistilledError(f"{place}: the soft label of row {row} sums to {sums[row]:.6g}; expected 1")
    if len(soft) != len(tensors.soft_labels):
        raise DistilledError(f"{it.place('default')} has {len(soft)} soft labels; {TENSORS} {len(tensors.soft_labels)}")
    differing = first_difference(soft, tensors.soft_labels)
    if differing is not None:
        raise DistilledError(f"the soft label of row {differing} differs between {it.place('default')} and {TENSORS}")
    return f"{counted(len(soft), 'soft label')} sum to one and equal those of {TENSORS}"


def _labels(it: Contents) -> "dict[str, torch.Tensor]":
    import torch

    tables = {config: torch.as_tensor(it.tables[config].get().columns["label"]).long() for config in CONFIGS}
    return {TENSORS: it.tensors.get().labels, **{it.place(config): labels for config, labels in tables.items()}}
