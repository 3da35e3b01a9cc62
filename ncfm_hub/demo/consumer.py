"""Load a published distilled dataset and print its results: needs `datasets` only, cannot import ncfm_hub."""

import json
import sys
from collections import Counter


def print_results(repo_id: str, name: str, titles: dict[str, str]) -> None:
    """Load both configs of a distilled dataset and print what they hold and what was measured.

    name: its configuration
    titles: what the table calls each of the sets in results.json
    """
    from datasets import load_dataset
    from huggingface_hub import hf_hub_download

    default = load_dataset(repo_id, name, split="train")
    stored = load_dataset(repo_id, f"{name}_stored", split="train")
    names, size = default.features["label"].names, default[0]["image"].size
    print(f"load_dataset({repo_id!r}, {name!r}): {len(default)} images of {size} px, {len(names)} classes")
    print(
        f"load_dataset({repo_id!r}, '{name}_stored'): {len(stored)} images, {_per_class(stored['label'])} of each class"
    )
    print(f"columns: {', '.join(default.column_names)}; a soft label sums to {sum(default[0]['soft_label']):.4f}")
    with open(hf_hub_download(repo_id, f"{name}/results.json", repo_type="dataset"), encoding="utf-8") as handle:
        results = json.load(handle)
    print(f"\n{'trained on':27} {'labels':6} {'stored images':>13}  test accuracy")
    for row in results["rows"]:
        figure = row["accuracy"]
        deviation = f" ± {figure['std']:.1f}" if figure.get("std") is not None else ""
        accuracy = f"{figure['mean']:.1f}{deviation} % (n={figure['n']})"
        print(f"{titles.get(row['set'], row['set']):27} {row['labels']:6} {row['stored_images']:13}  {accuracy}")
    print("top-1 on the test split at the last epoch, mean ± std over n students (evaluation networks)")


def _per_class(labels: list[int]) -> str:
    return " or ".join(str(count) for count in sorted(set(Counter(labels).values())))


if __name__ == "__main__":
    sys.modules["ncfm_hub"] = None  # type: ignore[assignment]  # every import of it fails, as on a machine without it
    print_results(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
