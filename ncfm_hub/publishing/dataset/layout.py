"""Names of the files of distilled datasets, in folders and repositories alike.

A folder or repository holds one directory per distilled dataset, named like its configuration (`ipc10`), and one card
for all. The former layout held a single distilled dataset at the root, with the configurations `default` and `stored`.
"""

import re
from pathlib import Path
from typing import Literal

Config = Literal["default", "stored"]  # training images and stored images of a distilled dataset

FORMAT_VERSION = 1
CONFIGS: tuple[Config, ...] = ("default", "stored")
DIRECTORIES: dict[Config, str] = {"default": "data", "stored": "stored"}
FORMER_DIRECTORIES: dict[Config, str] = {"default": "default", "stored": "stored"}
SHARD = "train-00000-of-00001.parquet"
SHARD_PATTERN = "train-*"  # the pattern in the card's `configs`, which decides what is loaded
TENSORS = "distilled.safetensors"
PIPELINE = "pipeline.yaml"
RESULTS = "results.json"
RESULTS_FILE = re.compile(r"results(?:-[0-9]+)?\.json")  # earlier results are numbered
# Studies of the dataset, if stored beside it.
CONTINUAL = "continual.json"
SEARCH = "nas.json"
PREVIEW = "preview.png"
# At the root, about all distilled datasets there.
CARD = "README.md"
PLOT = "accuracy-over-ipc.png"
OWN_POOLS = ("trained here", "cache")  # origins of a pool made by the run's recipe; others are places
_STORED = "_stored"


def config_of(name: str, config: Config) -> str:
    """Return the configuration by which `datasets` loads a part of the distilled dataset `name`."""
    return name if config == "default" else f"{name}{_STORED}"


def data_path(name: str, config: Config) -> str:
    """Return the pattern of the parquet files of the distilled dataset `name`, from the root."""
    return f"{name}/{DIRECTORIES[config]}/{SHARD_PATTERN}"


def directory_of(folder: Path, config: Config) -> Path:
    """Return the directory of the parquet files in a distilled dataset's `folder`, of this or the former layout."""
    now, before = folder / DIRECTORIES[config], folder / FORMER_DIRECTORIES[config]
    return before if not any(now.glob(SHARD_PATTERN)) and before.is_dir() else now
