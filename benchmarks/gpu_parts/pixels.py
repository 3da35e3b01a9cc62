"""Images and labels of parquet shards or tensor files, without `datasets`.

A shard has a column of encoded images (a struct with `bytes`, or bytes) and one of integer labels; a tensor file
(`.safetensors`) has `images`, uint8 (N, c, H, W), and `labels`, integers (N,).
"""

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

IN_ONE_PROCESS = 2000  # images; fewer are decoded sooner than other processes have begun


def read_source(name: str, train: Sequence[Path], test: Sequence[Path], resolution: int) -> Any:
    """Return the source, resized to `resolution`; classes are named if the first shard names them."""
    from benchmarks.gpu_parts.shapes import source_of

    sets = [read_images(files, resolution) for files in (train, test)]
    count = 1 + max(int(some.labels.max()) for some in sets)
    names = class_names(train[0]) or tuple(str(c) for c in range(count))
    return source_of(name, names, *sets, fingerprint_of([*train, *test], resolution))


def read_images(files: Sequence[Path], resolution: int) -> Any:
    """Return the images of all files, in order."""
    import torch

    from ncfm_hub.sources.types import ImageSet

    parts = [(read_tensors if path.suffix == ".safetensors" else read_shard)(path, resolution) for path in files]
    return ImageSet(torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts]))


def read_tensors(path: Path, resolution: int) -> tuple[Any, Any]:
    from safetensors.torch import load_file

    found = load_file(path)
    images, labels = found["images"], found["labels"]
    if images.shape[1:] != (3, resolution, resolution):
        raise ValueError(
            f"{path.name} has images of {tuple(images.shape[1:])}; expected (3, {resolution}, {resolution})"
        )
    return images, labels.long()


def read_shard(path: Path, resolution: int) -> tuple[Any, Any]:
    import numpy as np
    import pyarrow.parquet as pq
    import torch

    table = pq.read_table(path)
    image, label = columns(table.schema)
    cells = table[image].to_pylist()
    encoded = [cell["bytes"] if isinstance(cell, dict) else cell for cell in cells]
    pixels = np.stack(decode_all(encoded, resolution))
    return torch.from_numpy(pixels), torch.from_numpy(table[label].to_numpy().astype(np.int64))


def columns(schema: Any) -> tuple[str, str]:
    """Return the names of the first column of images and the first of labels."""
    import pyarrow.types as kinds

    images = [field.name for field in schema if kinds.is_struct(field.type) or kinds.is_binary(field.type)]
    labels = [field.name for field in schema if kinds.is_integer(field.type)]
    if not images or not labels:
        raise ValueError(f"columns {', '.join(schema.names)}; expected one of encoded images and one of integer labels")
    return images[0], labels[0]


def class_names(path: Path) -> tuple[str, ...]:
    """Return the class names that a shard's description gives; none for other files."""
    import pyarrow.parquet as pq

    if path.suffix == ".safetensors":
        return ()
    schema = pq.read_schema(path)
    described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = described.get("info", {}).get("features", {}).get(columns(schema)[1], {})
    return tuple(feature.get("names", ()))


def decode_all(encoded: Sequence[bytes], resolution: int) -> list[Any]:
    """Decode images, many of them by a process for each core."""
    work = partial(decode, resolution=resolution)
    if len(encoded) < IN_ONE_PROCESS:
        return [work(some) for some in encoded]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as others:
        return list(others.map(work, encoded, chunksize=250))


def decode(encoded: bytes, resolution: int) -> Any:
    """Return uint8 (3, resolution, resolution)."""
    from ncfm_hub.sources.decode import decode_image

    return decode_image(encoded, resolution, 3)[0]


def fingerprint_of(files: Sequence[Path], resolution: int) -> str:
    """Return what pools of these images are kept under."""
    from ncfm_hub.utils.files import sha256_file

    return "-".join([*(sha256_file(path)[:16] for path in files), str(resolution)])
