# environment: continual
"""A distilled dataset in Avalanche: `to_torch()` passed to `class_incremental_benchmark`, then trained on."""

import os

import torch
from avalanche.benchmarks import class_incremental_benchmark
from avalanche.models import SimpleMLP
from avalanche.training.supervised import Cumulative

from ncfm_hub import load_distilled

distilled = load_distilled(os.environ["NCFM_HUB_INTEROP_SET"])
classes = len(distilled.class_names)
steps = next(count for count in (5, 4, 3, 2, 1) if classes % count == 0)  # Avalanche drops what does not divide
order = torch.randperm(classes, generator=torch.Generator().manual_seed(0)).tolist()
train, test = distilled.to_torch(), distilled.to_torch("stored")
benchmark = class_incremental_benchmark({"train": train, "test": test}, class_order=order, num_experiences=steps)
print(f"class_incremental_benchmark takes to_torch() as it is: {len(train)} images, {classes} classes, {steps} steps")

for config, stream, images, labels in (
    ("default", benchmark.streams["train"], distilled.images, distilled.labels),
    ("stored", benchmark.streams["test"], distilled.stored, distilled.stored_labels),
):
    seen = 0
    for number, experience in enumerate(stream):
        wanted = order[number * classes // steps : (number + 1) * classes // steps]
        assert set(experience.classes_in_this_experience) == set(wanted)
        for c in wanted:
            rows = [row for row, target in enumerate(experience.dataset.targets) if target == c]
            found = torch.stack([experience.dataset[row][0] for row in rows])
            assert {experience.dataset[row][1] for row in rows} == {c}
            assert torch.equal((found * 255).round().to(torch.uint8), images[labels == c])
            seen += len(rows)
    assert seen == len(images)
    print(f"config {config}: each step has its classes and no other; all {seen} images are ours, pixel for pixel")

torch.manual_seed(0)
network = SimpleMLP(num_classes=classes, input_size=distilled.images[0].numel(), hidden_size=128, drop_rate=0)
strategy = Cumulative(
    model=network,
    optimizer=torch.optim.Adam(network.parameters()),
    criterion=torch.nn.CrossEntropyLoss(),
    train_mb_size=32,
    train_epochs=20,
    evaluator=None,
)
for experience in benchmark.streams["train"]:
    strategy.train(experience)
with torch.no_grad():
    pixels = distilled.images.float() / 255
    right = (strategy.model.eval()(pixels).argmax(1) == distilled.labels).float().mean()
chance = 1 / classes
print(
    f"its Cumulative strategy on an MLP, after the last step, on what it saw: {right:.1%} right (chance {chance:.1%})"
)
assert right > 2 * chance
