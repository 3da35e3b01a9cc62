"""`diff`: compare two distilled datasets."""

import os
from typing import Any

from ncfm_hub.publishing.comparing.images import compare_classes, compare_pixels, compare_soft_labels
from ncfm_hub.publishing.comparing.records import compare_accuracies, compare_recipes
from ncfm_hub.publishing.dataset.loading import find_at
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results
from ncfm_hub.utils.named import Named


def diff(a: Named, b: Named, *, token: str | None = None) -> dict[str, Any]:
    """Compare two distilled datasets: settings, classes, stored images, soft labels and accuracies.

    a, b: folder or Hub repository, or `owner/repository/ipc10`, which may end in `@REV`, a branch, tag or commit
    token: Hub token; default: the one you are logged in with
    Returns `recipe`, `classes`, `pixels`, `labels` and `accuracy`, each with what differs.
    Raises DistilledError if one of them cannot be read.
    """
    one, other = (find_at(target, token=token).folder for target in (a, b))
    first, second = read_data(one), read_data(other)
    return {
        "a": os.fspath(a),
        "b": os.fspath(b),
        "recipe": compare_recipes(read_pipeline(one), read_pipeline(other)),
        "classes": compare_classes(first, second),
        "pixels": compare_pixels(first, second),
        "labels": compare_soft_labels(first, second),
        "accuracy": compare_accuracies(read_results(one), read_results(other)),
    }
