"""The data files of a distilled dataset: two parquet configs and one safetensors file, written whole and read back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.files import whole_file
from ncfm_hub.publishing.dataset import Config, Distilled
from ncfm_hub.publishing.png import decode_png, encode_png

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch

FORMAT_VERSION = 1
CONFIGS: tuple[Config, ...] = ("default", "stored")
SHARD = "train-00000-of-00001.parquet"
SHARD_PATTERN = "train-*.parquet"
TENSORS = "distilled.safetensors"
_ROWS_AT_ONCE = 500  # a row group; bounds memory and is what a streaming reader fetches


def write_data(folder: Path, distilled: Distilled) -> None:
    """Write `default/`, `stored/` and `distilled.safetensors` under `folder`; the same data give the same bytes.

    Shards of an earlier set in the same folder are removed: they would be loaded together with these.
    """
    for config in CONFIGS:
        _write_parquet(folder / config / SHARD, distilled, config)
        for stale in (folder / config).glob(SHARD_PATTERN):
            if stale.name != SHARD:
                stale.unlink()
    _write_tensors(folder / TENSORS, distilled)


def _write_parquet(path: Path, distilled: Distilled, config: Config) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _features(config, distilled.class_names).arrow_schema
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for columns in _batches(distilled, config):
            writer.write_table(pa.Table.from_pydict(columns, schema=schema))


def _features(config: Config, class_names: tuple[str, ...]) -> Any:
    from datasets import ClassLabel, Features, Image, List, Value

    columns: dict[str, Any] = {"image": Image(), "label": ClassLabel(names=list(class_names))}
    if config == "stored":
        return Features(columns | {"index": Value("int32")})
    soft = List(Value("float32"), length=len(class_names))
    return Features(columns | {"soft_label": soft, "stored_index": Value("int32"), "tile": Value("int8")})


def _batches(distilled: Distilled, config: Config) -> Iterator[dict[str, Any]]:
    images, labels = (
        (distilled.images, distilled.labels) if config == "default" else (distilled.stored, distilled.stored_labels)
    )
    for first in range(0, len(images), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        pictures = [{"bytes": encode_png(image), "path": None} for image in images[rows].numpy()]
        columns: dict[str, Any] = {"image": pictures, "label": labels[rows].numpy()}
        if config == "default":
            columns["soft_label"] = list(distilled.soft_labels[rows].numpy())
            columns["stored_index"] = distilled.stored_index[rows].numpy()
            columns["tile"] = distilled.tile[rows].numpy()
        else:
            columns["index"] = list(range(first, first + len(pictures)))
        yield columns


def _write_tensors(path: Path, distilled: Distilled) -> None:
    from safetensors.torch import save_file

    tensors = {
        "images": distilled.stored.contiguous(),
        "labels": distilled.stored_labels.contiguous(),
        "soft_labels": distilled.soft_labels.contiguous(),
    }
    about = {"version": FORMAT_VERSION, "factor": distilled.factor, "class_names": list(distilled.class_names)}
    with whole_file(path) as temporary:
        # One metadata key only: several would be written in an order that differs from run to run.
        save_file(tensors, temporary, metadata={"ncfm_hub": json.dumps(about, ensure_ascii=False)})


def read_data(folder: Path) -> Distilled:
    """Read what `write_data` wrote. Raises DistilledError naming the file and what is wrong with it.

    The images of config `default` are those of the parquet, not decoded anew: they are what accuracies were measured on.
    """
    about, tensors = _read_tensors(folder / TENSORS)
    table = _read_default(folder / "default")
    names, factor, stored = tuple(about["class_names"]), about["factor"], tensors["images"]
    shape = tuple(stored.shape[1:])
    if stored.ndim != 4 or shape[0] not in (1, 3):
        raise DistilledError(f"{folder / TENSORS}: images have shape {tuple(stored.shape)}; expected (S, 1 or 3, H, W)")
    columns = _columns(folder, table, names, shape)
    if not _equal(columns["soft_labels"], tensors["soft_labels"]):
        raise DistilledError(f"{folder}: soft labels in default/ and in {TENSORS} differ; the folder mixes two runs")
    try:
        return Distilled(stored=stored, stored_labels=tensors["labels"], class_names=names, factor=factor, **columns)
    except DistilledError as error:
        raise DistilledError(f"{folder}: {error}") from error


def _read_tensors(path: Path) -> "tuple[dict[str, Any], dict[str, torch.Tensor]]":
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
    except (ValueError, TypeError, KeyError) as error:
        raise DistilledError(f"{path} does not say that it is a distilled dataset (metadata key 'ncfm_hub')") from error
    if version != FORMAT_VERSION:
        raise DistilledError(f"{path} has format {version!r}; this version of ncfm-hub reads format {FORMAT_VERSION}")
    named = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    if not named or type(factor) is not int or factor < 1:
        raise DistilledError(f"{path} has a damaged header: factor {factor!r} and {type(names).__name__} of class names")
    return about


def _read_default(folder: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = sorted(folder.glob(SHARD_PATTERN))
    if not shards:
        raise DistilledError(f"{folder.parent} is not a distilled dataset of ncfm-hub: it has no default/{SHARD_PATTERN}")
    try:
        return pa.concat_tables([pq.read_table(shard) for shard in shards])
    except (pa.ArrowException, OSError) as error:
        raise DistilledError(f"{folder} cannot be read as parquet: {error}") from error


def _columns(folder: Path, table: "pa.Table", names: tuple[str, ...], shape: tuple[int, ...]) -> "dict[str, torch.Tensor]":
    import numpy as np
    import torch

    needed = ("image", "label", "soft_label", "stored_index", "tile")
    if missing := [column for column in needed if column not in table.column_names]:
        raise DistilledError(f"{folder / 'default'} has no column {missing[0]!r}; it has {', '.join(table.column_names)}")
    try:
        pictures = [row["bytes"] for row in table["image"].to_pylist()]
        soft = np.asarray(table["soft_label"].to_pylist(), dtype=np.float32)
        numbers = {name: table[name].to_numpy() for name in ("label", "stored_index", "tile")}
    except (TypeError, ValueError, KeyError) as error:
        raise DistilledError(f"{folder / 'default'}: a column is not of the documented type ({error})") from error
    channels, height, width = shape
    images = np.empty((len(pictures), channels, height, width), np.uint8)
    for row, data in enumerate(pictures):
        images[row] = decode_png(data, (channels, height, width), f"{folder / 'default'}: image of row {row}")
    return {
        "images": torch.from_numpy(images),
        "labels": torch.from_numpy(numbers["label"].astype(np.int64)),
        "soft_labels": torch.from_numpy(soft),
        "stored_index": torch.from_numpy(numbers["stored_index"].astype(np.int32)),
        "tile": torch.from_numpy(numbers["tile"].astype(np.int8)),
    }


def _equal(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    import torch

    return one.dtype == other.dtype and torch.equal(one, other)
