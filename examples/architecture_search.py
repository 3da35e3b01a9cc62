"""Rank architectures by training each on a distilled dataset, the proxy, and testing it on real images.

    python examples/architecture_search.py owner/cifar10-ncfm --test cifar10 ncfm_convnet3 resnet18 resnet26

Real images only rank the candidates, so give a part of the training split: `--split "train[:2000]"`.
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
parser.add_argument("architectures", nargs="+", help="names of timm models")
parser.add_argument("--test", required=True, help="dataset of the same classes: folder or Hub id")
parser.add_argument("--split", default="train[:2000]")
parser.add_argument("--updates", type=int, default=300)
given = parser.parse_args()

distilled = ncfm_hub.load_distilled(given.dataset)
train = distilled.to_torch(soft_labels=True, augment=True)
classes, (channels, size) = len(distilled.class_names), distilled.images.shape[1:3]
real = load_dataset(given.test, split=given.split)
image = next(name for name, feature in real.features.items() if isinstance(feature, Image))
label = next(name for name, feature in real.features.items() if isinstance(feature, ClassLabel))
pictures = [row[image].convert("RGB" if channels == 3 else "L").resize((size, size)) for row in real]
pixels = (torch.stack([pil_to_tensor(picture) for picture in pictures]).float() / 255 - train.mean) / train.std
number = [distilled.class_names.index(name) for name in real.features[label].int2str(real[label])]

found = {}
for name in given.architectures:
    torch.manual_seed(0)  # the same batches for all
    sized = {"img_size": size} if name.startswith("ncfm_") else {}
    network = timm.create_model(name, num_classes=classes, in_chans=channels, **sized)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=5e-4)
    for images, labels in DataLoader(train, 64, sampler=RandomSampler(train, num_samples=64 * given.updates)):
        loss = torch.nn.functional.cross_entropy(network((images - train.mean) / train.std), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        answers = torch.cat([network.eval()(part).argmax(1) for part in pixels.split(128)])
    found[name] = (answers == torch.tensor(number)).float().mean().item()

for place, name in enumerate(sorted(found, key=found.__getitem__, reverse=True), 1):
    print(f"{place}. {name}: {found[name]:.1%} of {len(pixels)} real images")
