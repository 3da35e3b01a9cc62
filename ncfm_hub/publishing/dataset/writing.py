"""Write the data files of a distilled dataset: two parquet configs and one safetensors file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.layout import (
    CONFIGS,
    DIRECTORIES,
    FORMAT_VERSION,
    SHARD,
    SHARD_PATTERN,
    TENSORS,
    Config,
)
from ncfm_hub.publishing.dataset.png import encode_png
from ncfm_hub.utils.files import whole_file

_ROWS_AT_ONCE = 500  # per row group, the unit that streaming readers fetch; bounds memory


def write_data(folder: Path, distilled: Distilled) -> None:
    """Write `data/`, `stored/` and `distilled.safetensors` under `folder`; equal data give equal bytes.

    Shards of an earlier dataset in the folder are removed, since they would be loaded with the new ones.
    """
    for config in CONFIGS:
        directory = folder / DIRECTORIES[config]
        _write_parquet(directory / SHARD, distilled, config)
        for stale in directory.glob(f"{SHARD_PATTERN}.parquet"):
            if stale.name != SHARD:
                stale.unlink()
    _write_tensors(folder / TENSORS, distilled)


def _write_parquet(path: Path, distilled: Distilled, config: Config) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = features(config, distilled.class_names).arrow_schema
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for columns in _batches(distilled, config):
            writer.write_table(pa.Table.from_pydict(columns, schema=schema))


def features(config: Config, class_names: tuple[str, ...]) -> Any:
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
        # A single metadata key, since the order of several differs between runs.
        save_file(tensors, temporary, metadata={"ncfm_hub": json.dumps(about, ensure_ascii=False)})
