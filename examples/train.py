"""Train a network on a distilled dataset as its accuracies were measured: DSA and CutMix, soft or hard labels.

    python examples/train.py owner/cifar10-ncfm --test cifar10 --labels soft
    python examples/train.py owner/cifar10-ncfm --test cifar10 --no-augment

Without augmentation accuracy is much lower.
"""

import argparse

import timm
import torch
from datasets import ClassLabel, Image, load_dataset
from torch.utils.data import DataLoader, RandomSampler
from torchvision.transforms.functional import pil_to_tensor

import ncfm_hub
import ncfm_hub.networks.convnet  # registers the ConvNets of the field with timm

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", help="distilled dataset: folder or Hub repository")
parser.add_argument("--test", required=True, help="dataset with a split `test` of the same classes: folder or Hub id")
parser.add_argument("--labels", choices=["soft", "hard"], default="soft")
parser.add_argument("--augment", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--updates", type=int, default=2000)
given = parser.parse_args()

distilled = ncfm_hub.load_distilled(given.dataset)
train = distilled.to_torch(soft_labels=given.labels == "soft", augment=given.augment)
classes, (channels, size) = len(distilled.class_names), distilled.images.shape[1:3]

network = timm.create_model("ncfm_convnet3", num_classes=classes, in_chans=channels, img_size=size)
optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=5e-4)
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, 4e-3, total_steps=given.updates, pct_start=0.25, cycle_momentum=False
)
rows = RandomSampler(train, num_samples=100 * given.updates)
for images, labels in DataLoader(train, batch_size=100, sampler=rows):
    loss = torch.nn.functional.cross_entropy(network((images - train.mean) / train.std), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()

test = load_dataset(given.test, split="test")
image = next(name for name, feature in test.features.items() if isinstance(feature, Image))
label = next(name for name, feature in test.features.items() if isinstance(feature, ClassLabel))
number = {name: index for index, name in enumerate(distilled.class_names)}
right, network = 0, network.eval()
for row in test:
    picture = row[image].convert("RGB" if channels == 3 else "L").resize((size, size))
    pixels = pil_to_tensor(picture)[None].float() / 255
    with torch.no_grad():
        answer = network((pixels - train.mean) / train.std).argmax().item()
    right += answer == number[test.features[label].int2str(row[label])]
print(f"test accuracy {100 * right / len(test):.1f} % of {len(test)} images, loss {loss.item():.3f}")
