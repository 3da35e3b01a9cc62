"""Read and validate the data files of a distilled dataset, which may come from a third party."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.augmentation import read_augmentation
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.layout import FORMAT_VERSION, SHARD_PATTERN, TENSORS, directory_of
from ncfm_hub.publishing.dataset.png import decode_png

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch


def read_data(folder: Path) -> Distilled:
    """Read what `write_data` wrote. Raises DistilledError naming the file and the problem.

    Training images are read from the parquet files, not decoded anew, since accuracies were measured on those.
    """
    import torch

    about, tensors = read_tensors(folder / TENSORS)
    data = directory_of(folder, "default")
    table = read_config(data)
    names, factor, stored = tuple(about["class_names"]), about["factor"], tensors["images"]
    shape = tuple(stored.shape[1:])
    if stored.ndim != 4 or shape[0] not in (1, 3):
        raise DistilledError(f"{folder / TENSORS}: images have shape {tuple(stored.shape)}; expected (S, 1 or 3, H, W)")
    columns = _columns(data, table, shape)
    try:
        found = Distilled(
            stored=stored,
            stored_labels=tensors["labels"],
            class_names=names,
            factor=factor,
            augmentation=read_augmentation(folder),
            **columns,
        )
    except DistilledError as error:
        raise DistilledError(f"{folder}: {error}") from error
    if not torch.equal(found.soft_labels.double(), tensors["soft_labels"].double()):
        raise DistilledError(
            f"{folder}: soft labels in {data.name}/ and in {TENSORS} differ; the folder mixes two runs"
        )
    return found


def read_stored(folder: Path, shape: tuple[int, ...]) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Return (images, labels, index) of config `stored`: uint8 (S, c, H, W), int64 (S,), int64 (S,), as users load it.

    shape: (c, H, W)
    Raises DistilledError naming the file and the problem.
    """
    import torch

    place = directory_of(folder, "stored")
    table = read_config(place)
    pictures, numbers = read_values(place, table, ("label", "index"))
    labels, index = (torch.from_numpy(numbers[name]).long() for name in ("label", "index"))
    return decode_images(place, pictures, shape), labels, index


def read_tensors(path: Path) -> "tuple[dict[str, Any], dict[str, torch.Tensor]]":
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DistilledError(f"{path.parent} is not a distilled dataset of ncfm-hub: it has no {TENSORS}")
    try:
        with safe_open(path, framework="pt") as handle:
            header = (handle.metadata() or {}).get("ncfm_hub")
            tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise DistilledError(f"{path} cannot be read: {error}") from error
    if missing := sorted({"images", "labels", "soft_labels"} - tensors.keys()):
        raise DistilledError(f"{path} has no tensor {missing[0]!r}")
    return _checked_header(path, header), tensors


def _checked_header(path: Path, header: str | None) -> dict[str, Any]:
    try:
        about = json.loads(header or "")
        version, factor, names = about["version"], about["factor"], about["class_names"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DistilledError(f"{path} does not say that it is a distilled dataset (metadata key 'ncfm_hub')") from error
    if version != FORMAT_VERSION:
        raise DistilledError(f"{path} has format {version!r}; this version of ncfm-hub reads format {FORMAT_VERSION}")
    named = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    if not named or type(factor) is not int or factor < 1:
        raise DistilledError(f"{path} has a damaged header: factor {factor!r}, {type(names).__name__} of class names")
    return about


def read_config(folder: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = sorted(folder.glob(f"{SHARD_PATTERN}.parquet"))
    if not shards:
        raise DistilledError(f"{folder.parent} is not a distilled dataset of ncfm-hub: it has no {folder.name}/")
    try:
        return pa.concat_tables([pq.read_table(shard) for shard in shards])
    except (pa.ArrowException, OSError) as error:
        raise DistilledError(f"{folder} cannot be read as parquet: {error}") from error


def _columns(folder: Path, table: "pa.Table", shape: tuple[int, ...]) -> dict[str, Any]:
    import torch

    pictures, numbers = read_values(folder, table, ("label", "soft_label", "stored_index", "tile"))
    return {
        "images": decode_images(folder, pictures, shape),
        "labels": torch.from_numpy(numbers["label"]).long(),
        "soft_labels": torch.from_numpy(numbers["soft_label"]).float(),
        "stored_index": torch.from_numpy(numbers["stored_index"]).int(),
        "tile": torch.from_numpy(numbers["tile"]).to(torch.int8),
    }


def read_values(folder: Path, table: "pa.Table", needed: tuple[str, ...]) -> "tuple[list[Any], dict[str, np.ndarray]]":
    """Return the encoded images, and the columns `needed` as writable arrays: numbers (N,), soft labels (N, C)."""
    if missing := [column for column in ("image", *needed) if column not in table.column_names]:
        found = ", ".join(table.column_names)
        raise DistilledError(f"{folder} has no column {missing[0]!r}; it has {found}")
    try:
        pictures = [row["bytes"] for row in table["image"].to_pylist()]
        numbers = {name: table[name].to_numpy().copy() for name in needed if name != "soft_label"}
        if "soft_label" in needed:
            soft = table["soft_label"].combine_chunks().flatten().to_numpy().copy()
            numbers["soft_label"] = soft.reshape(len(table), -1)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DistilledError(f"{folder}: a column is not of the documented type ({error})") from error
    return pictures, numbers


def decode_images(folder: Path, pictures: list[Any], shape: tuple[int, ...]) -> "torch.Tensor":
    """Decode to uint8 (N, c, H, W). shape: (c, H, W)."""
    import numpy as np
    import torch

    channels, height, width = shape
    images = np.empty((len(pictures), channels, height, width), np.uint8)
    for row, data in enumerate(pictures):
        images[row] = decode_png(data, (channels, height, width), f"{folder}: image of row {row}")
    return torch.from_numpy(images)
