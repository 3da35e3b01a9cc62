"""Class-incremental learning in Avalanche, with the distilled images of the classes seen so far as its memory.

    pip install avalanche-lib
    python examples/continual_avalanche.py owner/cifar10-ncfm --steps 5

The accuracy printed is that on the images trained on; test on real images of the classes seen, which Avalanche takes as
any dataset with integer `.targets` in place of `test`.
"""

import argparse

import torch
from avalanche.benchmarks import class_incremental_benchmark
from avalanche.models import SimpleMLP
from avalanche.training.supervised import Cumulative

from ncfm_hub import load_distilled

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", help="distilled dataset: folder or Hub repository")
parser.add_argument("--steps", type=int, default=5, help="must divide the number of classes")
parser.add_argument("--epochs", type=int, default=40)
given = parser.parse_args()

distilled = load_distilled(given.dataset)
train = test = distilled.to_torch()
benchmark = class_incremental_benchmark({"train": train, "test": test}, num_experiences=given.steps, seed=0)

torch.manual_seed(0)
network = SimpleMLP(num_classes=len(distilled.class_names), input_size=distilled.images[0].numel(), drop_rate=0)
strategy = Cumulative(  # trains on everything seen so far, which a distilled dataset is small enough for
    model=network,
    optimizer=torch.optim.Adam(network.parameters()),
    criterion=torch.nn.CrossEntropyLoss(),
    train_mb_size=32,
    train_epochs=given.epochs,
    evaluator=None,
)
seen: list[int] = []
for step, experience in enumerate(benchmark.streams["train"], 1):
    strategy.train(experience)
    seen += experience.classes_in_this_experience
    rows = torch.isin(distilled.labels, torch.tensor(seen))
    with torch.no_grad():
        answers = strategy.model.eval()(distilled.images[rows].float() / 255).argmax(1)
    right = (answers == distilled.labels[rows]).float().mean().item()
    print(f"step {step}: {len(seen)} classes seen, {100 * right:.1f} % of {int(rows.sum())} images right")
