"""timm loads a pushed pool by its card's own lines, and for timm's own backbones without ncfm_hub."""

import re
from pathlib import Path

import pytest

from ncfm_hub.publishing import push_folder
from tests.conftest import LiveHub
from tests.publishing.conftest import Client, Notes
from tests.publishing.noise_sets import write_pool

LOADED = """
import timm, torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
trained = load_file(hf_hub_download(sys.argv[1], "00-trained.safetensors"))
weights = model.state_dict()
config = timm.data.resolve_model_data_config(model)
answer({
    "same": list(weights) == list(timm.create_model(sys.argv[2], **model_args).state_dict())
    and weights.keys() == trained.keys()
    and all(torch.equal(weights[name], trained[name]) for name in trained),
    "outputs": list(model.eval()(torch.zeros(2, *config["input_size"])).shape),
    "num_classes": model.num_classes,
    "config": {key: config[key] for key in ("input_size", "mean", "std", "crop_pct")},
})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "timm_name", "arguments", "ours"),
    [
        ("resnet10t", "resnet10t", {}, False),
        ("ncfm_alexnet", "ncfm_alexnet", {"img_size": 16}, True),
        (
            "convnet-d1-w32-instance-relu-avg",
            "ncfm_convnet",
            {"img_size": 16, "depth": 1, "width": 32, "norm": "instance", "activation": "relu", "pooling": "avg"},
            True,
        ),
    ],
)
def test_the_card_s_lines_load_the_first_trained_member(
    name: str, timm_name: str, arguments: dict, ours: bool, hub: LiveHub, here: Notes, client: Client, tmp_path: Path
) -> None:
    folder = write_pool(tmp_path / "pool", members=1, name=name)
    push_folder(folder, "ada/pool", repo_type="model")
    (lines,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert ("ncfm_hub" in lines) == ours
    made = f"model_args = {dict(num_classes=3, in_chans=3, **arguments)}\n"
    found = client(lines + made + LOADED, hub.env, "ada/pool", timm_name, ours=ours)
    assert found.pop("same")
    config = found.pop("config")
    assert (config["input_size"], config["crop_pct"]) == ([3, 16, 16], 1.0)
    assert len(config["mean"]) == len(config["std"]) == 3
    assert found == {"outputs": [2, 3], "num_classes": 3}
