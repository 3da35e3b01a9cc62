"""Where the parts of a distilled dataset lie, in a folder and in a repository alike."""

from typing import Literal

Config = Literal["default", "stored"]

FORMAT_VERSION = 1
CONFIGS: tuple[Config, ...] = ("default", "stored")
SHARD = "train-00000-of-00001.parquet"
SHARD_PATTERN = "train-*"  # what `configs` in the card says, and so what is loaded
TENSORS = "distilled.safetensors"
PIPELINE = "pipeline.yaml"
RESULTS = "results.json"
# Studies of a set, where somebody put them beside it.
CONTINUAL = "continual.json"
SEARCH = "nas.json"
CARD = "README.md"
PREVIEW = "preview.png"
OWN_POOLS = ("trained here", "cache")  # origins of a pool made by the run's own recipe; any other names a place
