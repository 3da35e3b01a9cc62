"""Compare the images that `datasets.load_dataset` gives at a pushed commit with those of the folder.

Equal files are not enough: the card decides which of them are loaded, under which name and as what.
"""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import PublishError
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.layout import CONFIGS, Config, config_of
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.writing import features
from ncfm_hub.publishing.hub.reading_back import PushedCommit
from ncfm_hub.sources.lookup import quiet_clients
from ncfm_hub.sources.place import HUB
from ncfm_hub.utils.hub_errors import cause_of, short

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset

_ONE_AT_A_TIME = threading.Lock()


def check_loaded_images(commit: PushedCommit, root: Path, names: Collection[str]) -> int:
    """Load both configurations of each distilled dataset in `names` and compare them with the folder `root`.

    Compared are pixels, labels, soft labels and class names. Returns the number of images.
    Raises PublishError naming the configuration, the row and what differs.
    """
    count = 0
    with _own_cache() as cache, quiet_clients():
        for name in names:
            distilled = read_data(root / name)
            for config in CONFIGS:
                loaded = _load(commit, config_of(name, config), cache)
                at = f"{commit}, config {config_of(name, config)!r}"
                _compare(loaded, distilled, config, at)
                count += len(loaded)
    return count


@contextmanager
def _own_cache() -> Iterator[Path]:
    """Keep what is downloaded apart, so that no cache answers for the Hub and the user's is not filled.

    `datasets` passes no folder on to the Hub client, which therefore gets another one for the whole process.
    """
    from huggingface_hub import constants

    with _ONE_AT_A_TIME, TemporaryDirectory(prefix="ncfm-hub-") as folder:
        before, constants.HF_HUB_CACHE = constants.HF_HUB_CACHE, f"{folder}/hub"
        try:
            yield Path(folder)
        finally:
            constants.HF_HUB_CACHE = before


def _load(commit: PushedCommit, config: str, cache: Path) -> "Dataset":
    """Load a configuration. Errors of the Hub are raised as they are, since they may pass."""
    from datasets import load_dataset

    try:
        # `hf://` keeps `datasets` from mistaking a local folder of the same name for the repository.
        return load_dataset(
            f"{HUB}{commit.repo_id}",
            config,
            split="train",
            revision=commit.revision,
            cache_dir=str(cache / "datasets"),
            token=commit.api.token,
        )
    except Exception as error:  # of any type: `datasets` expects a card to be right
        if hub_error := _hub_error(error):
            raise hub_error from None
        found: BaseException = error
        while found.__cause__ is not None:
            found = found.__cause__
        why = f"{type(found).__name__}: {short(found)}"
        raise PublishError(f"{commit}, config {config!r}: load_dataset cannot load it ({why})") from error


def _hub_error(error: BaseException) -> BaseException | None:
    """Return the error of the Hub client behind one of `datasets`, which may hide it by `from None`.

    A missing file is none: `datasets` asks for several that need not be there, and goes on while handling that.
    """
    from huggingface_hub.errors import EntryNotFoundError

    found: BaseException | None = error
    while found is not None:
        cause = cause_of(found) or (found if isinstance(found, ConnectionError | TimeoutError) else None)
        if cause is not None and not isinstance(cause, EntryNotFoundError):
            return cause
        found = found.__context__
    return None


def _compare(loaded: "Dataset", distilled: Distilled, config: Config, at: str) -> None:
    _compare_features(loaded.features, features(config, distilled.class_names), at)
    images, labels = distilled.as_array(config)
    if len(loaded) != len(images):
        raise PublishError(f"{at}: load_dataset gives {len(loaded):,} rows, and the folder holds {len(images):,}")
    _compare_numbers(loaded, {"label": labels} | _numbers(distilled, config), at)
    _compare_pixels(loaded, images[..., 0] if images.shape[-1] == 1 else images, at)


def _numbers(distilled: Distilled, config: Config) -> "dict[str, np.ndarray]":
    import numpy as np

    if config == "stored":
        return {"index": np.arange(len(distilled.stored))}
    columns = {"soft_label": distilled.soft_labels, "stored_index": distilled.stored_index, "tile": distilled.tile}
    return {name: column.numpy() for name, column in columns.items()}


def _compare_features(found: Mapping[str, Any], expected: Mapping[str, Any], at: str) -> None:
    names = (getattr(part.get("label"), "names", None) or [] for part in (found, expected))
    for number, (one, other) in enumerate(zip_longest(*names)):
        if one != other:
            raise PublishError(f"{at}: load_dataset gives class {number} the name {one!r}, and the folder {other!r}")
    for column in {**expected, **found}:
        if found.get(column) != expected.get(column):
            raise PublishError(
                f"{at}: load_dataset gives column {column!r} as {found.get(column)}, expected {expected.get(column)}"
            )


def _compare_numbers(loaded: "Dataset", columns: Mapping[str, "np.ndarray"], at: str) -> None:
    """Compare columns of numbers: (N,), soft labels (N, C)."""
    found = loaded.select_columns(list(columns)).with_format("numpy")[:]
    for name, expected in columns.items():
        apart = (found[name] != expected).reshape(len(expected), -1).any(1)
        if apart.any():
            raise PublishError(f"{at}, row {apart.argmax()}: load_dataset gives another {name} than the folder holds")


def _compare_pixels(loaded: "Dataset", images: "np.ndarray", at: str) -> None:
    """Compare decoded images with `images`, uint8 (N, H, W) if grey, else (N, H, W, 3)."""
    import numpy as np

    rows = iter(loaded.select_columns(["image"]))
    for number, expected in enumerate(images):
        try:
            found = np.asarray(next(rows)["image"])
        except Exception as error:  # from the decoder
            raise PublishError(f"{at}, row {number}: the image cannot be decoded ({short(error)})") from error
        if not np.array_equal(found, expected):
            raise PublishError(f"{at}, row {number}: load_dataset gives another image than the folder holds")
