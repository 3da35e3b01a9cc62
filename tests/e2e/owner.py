"""What the owner of a dataset does, as a script of its own: reads repositories to make from stdin, pushes them.

It reads a JSON list of `seeding.Repo` and prints a JSON object, id -> the commit at which the repository then stands.
"""

import io
import json
import sys
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from huggingface_hub import HfApi
from PIL import Image as Pillow


def picture(shade: int | str, mode: str, size: int) -> bytes:
    if shade == "corrupt":
        return b"not an image"
    buffer = io.BytesIO()
    if shade == "nan":
        Pillow.new("F", (size, size), float("nan")).save(buffer, "TIFF")
    else:
        level = 60 + 37 * int(shade) % 190
        Pillow.new(mode, (size, size), level if mode == "L" else (level, 90, 255 - level)).save(buffer, "PNG")
    return buffer.getvalue()


def feature(kind: str | list[str]) -> Any:
    if kind == "image":
        return Image()
    return Value("string") if kind == "text" else ClassLabel(names=kind)


def cells(kind: str | list[str], rows: list[list[Any]], mode: str, size: int) -> list[Any]:
    if kind == "image":
        return [{"bytes": picture(shade, mode, size), "path": None} for _, shade in rows]
    return [str(label) if kind == "text" else label % len(kind) for label, _ in rows]


def push(repo: dict[str, Any]) -> str:
    features = Features({name: feature(kind) for name, kind in repo["columns"].items()})
    splits = {
        split: Dataset.from_dict(
            {name: cells(kind, rows, repo["mode"], repo["size"]) for name, kind in repo["columns"].items()},
            features=features,
        )
        for split, rows in repo["splits"].items()
    }
    api = HfApi(token=repo["token"])
    DatasetDict(splits).push_to_hub(repo["id"], repo["config"], token=api.token, private=repo["access"] == "private")
    if repo["access"] == "gated":
        api.update_repo_settings(repo["id"], repo_type="dataset", gated="manual")
    return str(api.dataset_info(repo["id"]).sha)


if __name__ == "__main__":
    json.dump({repo["id"]: push(repo) for repo in json.load(sys.stdin)}, sys.stdout)
