"""File names of a distilled dataset, in folders and repositories alike."""

from typing import Literal

Config = Literal["default", "stored"]

FORMAT_VERSION = 1
CONFIGS: tuple[Config, ...] = ("default", "stored")
SHARD = "train-00000-of-00001.parquet"
SHARD_PATTERN = "train-*"  # the pattern in the card's `configs`, which decides what is loaded
TENSORS = "distilled.safetensors"
PIPELINE = "pipeline.yaml"
RESULTS = "results.json"
# Studies of the dataset, if stored beside it.
CONTINUAL = "continual.json"
SEARCH = "nas.json"
CARD = "README.md"
PREVIEW = "preview.png"
OWN_POOLS = ("trained here", "cache")  # origins of a pool made by the run's recipe; others are places
