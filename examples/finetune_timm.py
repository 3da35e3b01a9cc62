"""Fine-tune a timm model on a distilled dataset, by `datasets`, timm and torch alone.

python examples/finetune_timm.py owner/imagenette-ncfm resnet18.a1_in1k --save model.safetensors
"""

import argparse

import timm
import torch
from datasets import load_dataset
from safetensors.torch import save_file
from torch.utils.data import DataLoader

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", help="distilled dataset: folder or Hub repository")
parser.add_argument("--name", help="configuration, such as ipc10 (default: the one that the card marks)")
parser.add_argument("model", help="name of a timm model")
parser.add_argument("--pretrained", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--save", default="model.safetensors")
given = parser.parse_args()

train = load_dataset(given.dataset, given.name, split="train")
names = train.features["label"].names
network = timm.create_model(given.model, pretrained=given.pretrained, num_classes=len(names))
# Resized, cropped and normalised as the weights expect, with RandAugment.
expected = timm.data.resolve_model_data_config(network)
transform = timm.data.create_transform(**expected, is_training=True, auto_augment="rand-m7", scale=(0.5, 1.0))


def prepare(rows: dict) -> dict:
    """Return a batch of rows as tensors; called when they are read."""
    images = [transform(image.convert("RGB")) for image in rows["image"]]
    return {"image": images, "soft_label": [torch.tensor(label) for label in rows["soft_label"]]}


train = train.select_columns(["image", "soft_label"]).with_transform(prepare)
loader = DataLoader(train, batch_size=32, shuffle=True)
head = {id(parameter) for parameter in network.get_classifier().parameters()}
body = [parameter for parameter in network.parameters() if id(parameter) not in head]
# The head is new, the rest only needs to be adapted.
groups = [{"params": list(network.get_classifier().parameters()), "lr": 1e-3}, {"params": body, "lr": 1e-4}]
optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
for epoch in range(given.epochs):
    losses = []
    for batch in loader:
        loss = torch.nn.functional.cross_entropy(network(batch["image"]), batch["soft_label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.3f}")
save_file(network.state_dict(), given.save, metadata={"classes": ",".join(names)})
