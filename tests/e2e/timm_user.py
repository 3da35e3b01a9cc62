"""What somebody does who wants a pool's network for work of their own: timm, and ncfm_hub only for the architecture.

Prints, as JSON, the classifier's size, whether the weights are those of the first trained member, and the accuracy on
the packaged digits.
"""

import json
import sys
from typing import Any

import timm
import torch
from datasets import Image, load_dataset
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

import ncfm_hub.extractors
from ncfm_hub.sources import packaged_digits
from ncfm_hub.sources.decode import decode_image

assert ncfm_hub.extractors


def main(repo_id: str) -> dict[str, Any]:
    network = timm.create_model(f"hf-hub:{repo_id}", pretrained=True).eval()
    member = load_file(hf_hub_download(repo_id, "00-trained.safetensors"))
    weights = network.state_dict()
    config = timm.data.resolve_model_data_config(network)
    channels, side, _ = config["input_size"]
    test = load_dataset(str(packaged_digits()), split="test").cast_column("image", Image(decode=False))
    encoded = (cell["bytes"] for cell in test["image"])
    images = torch.stack([torch.from_numpy(decode_image(data, side, channels)[0].copy()) for data in encoded])
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        found = network((images / 255 - mean) / std).argmax(1)
    return {
        "classes": network.num_classes,
        "same_weights": weights.keys() == member.keys() and all(torch.equal(weights[k], member[k]) for k in member),
        "accuracy": 100 * (found == torch.tensor(test["label"])).double().mean().item(),
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[1]), sys.stdout)
