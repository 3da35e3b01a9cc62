# environment: continual
"""A distilled dataset in Continuum: `as_array()` as the in-memory dataset of a class-incremental scenario."""

import os

import torch
from continuum import ClassIncremental
from continuum.datasets import InMemoryDataset
from torch.utils.data import DataLoader

from ncfm_hub import load_distilled

distilled = load_distilled(os.environ["NCFM_HUB_INTEROP_SET"])
classes = len(distilled.class_names)
order = torch.randperm(classes, generator=torch.Generator().manual_seed(0)).tolist()
each, more = divmod(classes, min(5, classes))
increments = [each + (step < more) for step in range(min(5, classes))]

for config in ("default", "stored"):
    images, labels = distilled.as_array(config)
    if images.shape[-1] == 1:
        images = images[..., 0]  # Continuum makes Pillow images of them, which have no axis for a single channel
    scenario = ClassIncremental(InMemoryDataset(images, labels), increment=increments, class_order=order)
    assert (scenario.nb_classes, scenario.nb_tasks) == (classes, len(increments))
    ours = distilled.images if config == "default" else distilled.stored
    count = 0
    for number, task in enumerate(scenario):
        first = sum(increments[:number])
        for x, y, t in DataLoader(task, batch_size=7):
            assert (x.dtype, tuple(x.shape[1:])) == (torch.float32, tuple(ours.shape[1:]))
            assert set(t.tolist()) == {number}
            assert all(first <= label < first + increments[number] for label in y.tolist())
            count += len(x)
        for label in range(first, first + increments[number]):
            pixels = torch.stack([task[row][0] for row in (task._y == label).nonzero()[0]])
            wanted = ours[torch.from_numpy(labels) == order[label]]
            assert torch.equal((pixels * 255).round().to(torch.uint8), wanted)
    assert count == len(images)
    print(
        f"config {config}: ClassIncremental takes as_array() as {images.shape}, {images.dtype}; in {len(increments)} "
        f"tasks all {count} images come back under their labels, pixel for pixel"
    )
