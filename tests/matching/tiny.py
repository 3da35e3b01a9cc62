"""Small sources and pools for the tests of the engine: seconds, not minutes, and nothing from a network."""

import torch

from ncfm_hub.distillation.settings import DistillationSettings
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.machine.engine import Engine, open_engine
from ncfm_hub.networks.build import Architecture, build_network, channel_statistics
from ncfm_hub.sources.types import ImageSet, Source, SourceInfo


def plain_engine() -> Engine:
    """fp32, uncompiled."""
    return open_engine("fp32", "off")


def tiny_images(per_class: int, classes: int, channels: int, size: int, seed: int) -> ImageSet:
    """Stripes of a direction and colour of each class's own, with noise: learnable, and no two alike."""
    draws = torch.Generator().manual_seed(seed)
    place = torch.arange(size).float()
    images, labels = [], []
    for c in range(classes):
        angle = torch.tensor(torch.pi * c / classes)
        waves = torch.sin(0.9 * (place[:, None] * angle.sin() + place[None, :] * angle.cos()))
        tint = torch.linspace(0.6, 1, channels).roll(c)[:, None, None]
        noise = torch.randn(per_class, channels, size, size, generator=draws)
        images.append((128 + 60 * waves * tint + 30 * noise).clamp(0, 255).to(torch.uint8))
        labels += [c] * per_class
    order = torch.randperm(len(labels), generator=draws)
    return ImageSet(torch.cat(images)[order], torch.tensor(labels)[order])


def tiny_source(per_class: int = 12, classes: int = 3, channels: int = 3, size: int = 16, seed: int = 0) -> Source:
    info = SourceInfo(
        dataset="tiny",
        is_local=True,
        config=None,
        revision=None,
        image_column="image",
        label_column="label",
        train_split="train",
        test_split="test",
        class_names=tuple(f"class {c}" for c in range(classes)),
        class_ids=tuple(range(classes)),
        resolution=size,
        channels=channels,
        license=None,
        citation=None,
        train_examples=per_class * classes,
        test_examples=4 * classes,
        fingerprint=f"tiny-{per_class}-{classes}-{channels}-{size}-{seed}",
    )
    train = tiny_images(per_class, classes, channels, size, seed)
    test = tiny_images(4, classes, channels, size, seed + 1)
    return Source(info, train, test, info.fingerprint)


STANDARD = "ncfm_convnet3"
NARROW = "convnet-d3-w32-instance-relu-avg"  # as deep, with a quarter of the channels


def tiny_pool(source: Source, members: int = 2, name: str = NARROW) -> Pool:
    """Pairs of fresh networks: what makes `trained` trained has no part in the mathematics."""
    info = source.info
    mean, std = channel_statistics(source.train.images)
    architecture = Architecture(name, len(info.class_names), info.channels, info.resolution, mean, std)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        pairs = tuple(
            (build_network(architecture).state_dict(), build_network(architecture).state_dict()) for _ in range(members)
        )
    return Pool(architecture, info.class_names, pairs, tuple({} for _ in pairs), "tiny", "tests", None)


def tiny_settings(**changes: object) -> DistillationSettings:
    """Values of a distillation that takes a fraction of a second a step."""
    values: dict[str, object] = {
        "ipc": 1,
        "seed": 0,
        "steps": 4,
        "real_batch": 8,
        "frequencies": 64,
        "frequency_scale": 1.0,
        "orthogonal": False,
        "matching": "characteristic",
        "alpha": 0.5,
        "normalize_features": True,
        "factor": 2,
        "optimizer": "adam",
        "lr": 1e-2,
        "weight_decay": 0.0,
        "schedule": "constant",
        "calibration": 5.0,
        "sampling_network": False,
        "sampling_objective": "ncfd",
        "sampling_lr": 1e-3,
        "sampling_momentum": 0.5,
        "flip": True,
        "cutout": True,
        "bank": None,
        "bank_seed": 0,
        "classes_at_once": 1,
        "images_at_once": 8,
        "decoded_at_once": 64,
    }
    return DistillationSettings.model_validate(values | changes)
