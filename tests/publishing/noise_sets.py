"""Small distilled datasets of noise, the files that a run would write, and folders with both."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml

from ncfm_hub.extractors.pool import member_file, write_pool_files
from ncfm_hub.publishing import Distilled, contact_sheet, write_card, write_data
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.utils.sealed import save_tensors
from tests.matching.tiny import tiny_pool, tiny_source

# A name for each way out of a card or a table.
NASTY = (
    "plain",
    "a|b",
    "{{ 7*7 }}",
    "</div><script>alert(1)</script>",
    "two\nlines\n---\nx: y",
    "../../x",
    "`[l](http://h)`",
)


# The card of noise_set() as it was written for the former layout, shortened where nothing is read from it.
FORMER_CARD = """\
---
pretty_name: insects distilled by NCFM, 2 images per class
license: cc-by-4.0
task_categories:
- image-classification
size_categories:
- n<1K
source_datasets:
- some/insects
tags:
- dataset-distillation
- dataset-condensation
- ncfm
- synthetic
configs:
- config_name: default
  data_files:
  - split: train
    path: default/train-*
- config_name: stored
  data_files:
  - split: train
    path: stored/train-*
dataset_info:
- config_name: default
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': ant
          '1': bee
          '2': cat
  - name: soft_label
    list: float32
    length: 3
  - name: stored_index
    dtype: int32
  - name: tile
    dtype: int8
  splits:
  - name: train
    num_bytes: 7875
    num_examples: 24
  download_size: 9516
  dataset_size: 7875
- config_name: stored
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': ant
          '1': bee
          '2': cat
  - name: index
    dtype: int32
  splits:
  - name: train
    num_bytes: 2473
    num_examples: 6
  download_size: 4209
  dataset_size: 2473
---

<!-- ncfm-hub:begin text=65074b94ea5a pretty_name=419232a22e2e license=c625c943466c task_categories=7dde2d939d4f \
size_categories=9d2de95faef5 source_datasets=2a067cc5ea26 tags=55b58a13c212; what stands between these marks is \
rewritten, so write above or below them -->
# insects distilled by NCFM, 2 images per class
<!-- ncfm-hub:end -->
"""


def tiles(stored: torch.Tensor, factor: int) -> torch.Tensor:
    """The tiles of each image resized to full size, cut out one by one with plain slices, before rounding."""
    size = stored.shape[-1] // factor
    cut = [
        image[:, r * size : (r + 1) * size, c * size : (c + 1) * size]
        for image in stored.double()
        for r in range(factor)
        for c in range(factor)
    ]
    return F.interpolate(torch.stack(cut), size=stored.shape[-2:], mode="bilinear", align_corners=False)


def noise_set(
    names: tuple[str, ...] = ("ant", "bee", "cat"),
    ipc: int = 2,
    channels: int = 3,
    side: int = 8,
    factor: int = 2,
    seed: int = 0,
) -> Distilled:
    """A distilled dataset of noise with random soft labels; deterministic."""
    generator = torch.Generator().manual_seed(seed)
    count = len(names) * ipc
    stored = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)
    labels = torch.arange(len(names)).repeat_interleave(ipc)
    soft = torch.rand(count * factor**2, len(names), generator=generator)
    return Distilled(
        stored=stored,
        stored_labels=labels,
        images=tiles(stored, factor).round().to(torch.uint8),
        labels=labels.repeat_interleave(factor**2),
        soft_labels=soft / soft.sum(1, keepdim=True),
        stored_index=torch.arange(count, dtype=torch.int32).repeat_interleave(factor**2),
        tile=torch.arange(factor**2, dtype=torch.int8).repeat(count),
        class_names=names,
        factor=factor,
    )


def described(distilled: Distilled, **source: Any) -> dict[str, Any]:
    """A pipeline.yaml for a dataset of noise."""
    changed = {"distillation.steps": 500, "distillation.factor": distilled.factor, "evaluation.students": 5}
    changed |= {"source.resolution": distilled.stored.shape[-1], "source.channels": distilled.stored.shape[1]}
    return {
        "ncfm_hub": 1,
        "name": "insects",
        "preset": "cpu",
        "ipc": distilled.ipc,
        "seed": 0,
        "recipe": load_pipeline("some/insects", preset="cpu", overrides=changed).recipe.model_dump(
            exclude={"engine": {"device"}}
        ),
        "source": {
            "dataset": "some/insects",
            "is_local": False,
            "config": None,
            "revision": "0123456789abcdef" * 2 + "01234567",
            "image_column": "img",
            "label_column": "label",
            "train_split": "train",
            "test_split": "test",
            "class_names": list(distilled.class_names),
            "resolution": distilled.stored.shape[-1],
            "channels": distilled.stored.shape[1],
            "license": "cc-by-4.0",
            "citation": None,
            "fingerprint": "f00d",
            "notes": [],
        }
        | source,
        "machine": {"device": "cpu", "description": "two cores", "threads": 2},
        "wall_time_seconds": {"distill": 750.4, "total": 4000},
    }


def figures(mean: float, n: int = 5) -> dict[str, Any]:
    """An accuracy as results.json has it; five students spread by 0.3."""
    return {"n": n, "mean": mean, "std": 0.3 if n > 1 else None, "values": [mean] * n}


def measured(*rows: tuple[str, str, float], n: int = 5) -> dict[str, Any]:
    """A results.json from (row, labels, mean accuracy)."""
    return {
        "ncfm_hub": 1,
        "rows": [{"set": s, "labels": kind, "images": 24, "accuracy": figures(mean, n)} for s, kind, mean in rows],
        "protocol": {
            "metric": "top-1 accuracy in percent at the last epoch",
            "split": "test",
            "test_images": 360,
            "distillations": 1,
            "students": n,
            "student": "convnet3",
            "updates": 1200,
            "batch_size": 100,
        },
    }


def write_set(folder: Path, distilled: Distilled, results: dict[str, Any] | None = None, **source: Any) -> Path:
    """The files of a distilled dataset in a folder, without a card."""
    write_data(folder, distilled)
    contact_sheet(distilled.stored, distilled.stored_labels, distilled.class_names, folder / "preview.png")
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(described(distilled, **source), sort_keys=False))
    (folder / "results.json").write_text(json.dumps(results or measured(("distilled", "hard", 60.0))))
    return folder


def write_folder(
    root: Path, distilled: Distilled, results: dict[str, Any] | None = None, name: str | None = None, **source: Any
) -> Path:
    """A whole folder, as a run leaves it; the distilled dataset lies in `root/ipc<N>`, or `root/name`."""
    write_set(root / (name or f"ipc{distilled.ipc}"), distilled, results, **source)
    write_card(root)
    return root


def write_former(root: Path, distilled: Distilled, results: dict[str, Any] | None = None, **source: Any) -> Path:
    """A whole folder in the former layout: one distilled dataset at the root, and a card as it was written then."""
    write_set(root, distilled, results, **source)
    (root / "data").rename(root / "default")
    (root / "README.md").write_text(FORMER_CARD + "\nWritten by a person.\n")
    return root


def write_pool(
    folder: Path,
    members: int = 2,
    classes: int = 3,
    key: str = "0123456789abcdef" * 2,
    name: str = "convnet-d1-w32-instance-relu-avg",
    **facts: Any,
) -> Path:
    """A pool of small untrained networks, as `pretrain` leaves it. facts: entries of pool.json"""
    source = tiny_source(per_class=2, classes=classes)
    accuracy = tuple({"0.0": 90.0 - number, "1.0": 30.0} for number in range(members))
    pool = replace(tiny_pool(source, members, name), key=key, accuracy=accuracy)
    for number, pair in enumerate(pool.members):
        for which, weights in zip(("init", "trained"), pair, strict=True):
            save_tensors(member_file(folder, number, which), weights)
    about = {name: getattr(source.info, name) for name in ("dataset", "is_local", "revision", "fingerprint")}
    described = {"digest": pool.digest, "recipe": {"size": members}, "source": about}
    write_pool_files(folder, pool, described | facts)
    return folder
