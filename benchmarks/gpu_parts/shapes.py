"""What is measured: the shapes of known datasets in random pixels, and the settings of a preset, full size or tiny."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ncfm_hub.networks.build import Architecture, channel_statistics, convnet_for
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources.types import ImageSet, Source, SourceInfo

# The same code on a few small images, for a CPU.
TINY: dict[str, Any] = {
    "source.resolution": 16,
    "pool.size": 2,
    "pool.epochs": 1,
    "pool.batch_size": 16,
    "distillation.ipc": 1,
    "distillation.steps": 4,
    "distillation.real_batch": 4,
    "distillation.frequencies": 64,
    "distillation.images_at_once": 8,
    "evaluation.students": 2,
    "evaluation.updates": 4,
    "evaluation.batch_size": 8,
}


@dataclass(frozen=True)
class Shape:
    """A dataset's sizes: classes of `images` training images each, and stored images per class."""

    name: str
    classes: int
    images: int
    resolution: int
    ipc: int

    def tiny(self) -> "Shape":
        return replace(self, classes=min(self.classes // 5, 3), images=16, resolution=16, ipc=1)


# By importance: the first is the one that is projected to a whole run.
SHAPES = (
    Shape("CIFAR-10 IPC 10", 10, 5000, 32, 10),
    Shape("CIFAR-10 IPC 50", 10, 5000, 32, 50),
    Shape("CIFAR-100 IPC 10", 100, 500, 32, 10),
    Shape("CIFAR-10 IPC 1", 10, 5000, 32, 1),
    Shape("CIFAR-100 IPC 50", 100, 500, 32, 50),
    Shape("Tiny ImageNet IPC 10", 200, 500, 64, 10),
)


def recipe_of(preset: str, changes: dict[str, Any], tiny: bool) -> Recipe:
    """Return the settings of CIFAR-10 under a preset with some changed, by dotted key; 10 images per class."""
    usual = {"distillation.ipc": 10} | (TINY if tiny else {})
    return load_pipeline("cifar10", preset=preset, overrides=usual | changes).recipe


def random_source(shape: Shape) -> Source:
    """Return random pixels with as many test images as CIFAR-10's share, a fifth."""
    draws, size = np.random.default_rng(0), (3, shape.resolution, shape.resolution)

    def some(per_class: int) -> ImageSet:
        labels = torch.arange(shape.classes).repeat(per_class)
        pixels = draws.integers(0, 256, (len(labels), *size), dtype=np.uint8)
        return ImageSet(torch.from_numpy(pixels), labels)

    names = tuple(f"class {c}" for c in range(shape.classes))
    return source_of(shape.name, names, some(shape.images), some(-(-shape.images // 5)), "random pixels")


def student_of(source: Source) -> Architecture:
    """Return the field's standard ConvNet for a source."""
    info, statistics = source.info, channel_statistics(source.train.images)
    return Architecture(
        convnet_for(info.resolution), len(info.class_names), info.channels, info.resolution, *statistics
    )


def source_of(name: str, class_names: tuple[str, ...], train: ImageSet, test: ImageSet, fingerprint: str) -> Source:
    """Return a source of tensors that are in memory already."""
    info = SourceInfo(
        dataset=name,
        is_local=True,
        config=None,
        revision=None,
        image_column="image",
        label_column="label",
        train_split="train",
        test_split="test",
        class_names=class_names,
        class_ids=tuple(range(len(class_names))),
        resolution=train.images.shape[-1],
        channels=train.images.shape[1],
        license=None,
        citation=None,
        train_examples=len(train.labels),
        test_examples=len(test.labels),
        fingerprint=fingerprint,
    )
    return Source(info, train, test, fingerprint)
