"""Distilled datasets for NASLib (https://github.com/automl/NASLib) and other users of torchvision-like datasets."""

from collections.abc import Callable
from typing import Any

import torch

from ncfm_hub.evaluation.opening import SubjectOptions, open_subject
from ncfm_hub.machine.reproducible import reproducible
from ncfm_hub.sources.types import ImageSet
from ncfm_hub.utils.named import Named
from ncfm_hub.utils.seeding import generator

Transform = Callable[[Any], Any]


class LabelledImages(torch.utils.data.Dataset[tuple[Any, int]]):
    """Map-style dataset like torchvision's: `targets` is a list of ints, `transform` receives a PIL image.

    images: uint8 (N, c, H, W); without a transform, items are float tensors (c, H, W) in [0, 1]
    """

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, transform: Transform | None = None):
        self.images = images
        self.targets: list[int] = labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if self.transform is None:
            return self.images[index].float() / 255, self.targets[index]
        from torchvision.transforms.functional import to_pil_image

        return self.transform(to_pil_image(self.images[index])), self.targets[index]


@reproducible()
def naslib_datasets(
    target: Named,
    *,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
    seed: int = 0,
    source: Named | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> tuple[LabelledImages, LabelledImages]:
    """Return (train, test) for NASLib: the distilled dataset and its source's test split.

    Pass both on from `get_data` of NASLib's CustomDataset. Training rows are shuffled with `seed`, because NASLib
    splits them by row number and rows in class order would leave classes out of either part.

    target: folder or Hub repository
    train_transform, test_transform: applied to each image
    seed: random seed of the shuffling
    source, revision, token: as for `evaluate`
    Raises DistilledError if the target is not usable.
    """
    subject = open_subject(target, SubjectOptions(source, revision=revision, token=token))
    order = torch.randperm(len(subject.labels), generator=generator(seed, "naslib"))
    train = ImageSet(subject.images[order], subject.labels[order])
    test = subject.source.tested_on()
    return (
        LabelledImages(train.images, train.labels, train_transform),
        LabelledImages(test.images, test.labels, test_transform),
    )
