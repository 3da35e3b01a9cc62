"""AlexNet, VGG-11 and ResNet-18 for small images: sizes, parameters, the framing of 28 px, timm's interface."""

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from ncfm_hub.extractors.pool import Pool, write_pool_files
from ncfm_hub.networks.build import Architecture, FeaturesAndLogits, build_network, check_network
from ncfm_hub.networks.convnet import InstanceNorm

NAMES = (
    "ncfm_alexnet",
    "ncfm_alexnet_plain",
    "ncfm_alexnet_bn",
    "ncfm_vgg11",
    "ncfm_vgg11_bn",
    "ncfm_resnet18",
    "ncfm_resnet18_bn",
)


def architecture(name: str, size: int = 32, channels: int = 3) -> Architecture:
    return Architecture(name, 10, channels, size, (0.5,) * channels, (0.25,) * channels)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3)])
def test_they_answer_as_timm_s_networks_do(name: str, size: int, channels: int) -> None:
    """Last maps: AlexNet halves three times, VGG-11 five times; ResNet-18 averages over its last map."""
    network = build_network(architecture(name, size, channels)).eval()
    padded = max(size, 32)
    expected = {"alexnet": 192 * (padded // 8) ** 2, "vgg11": 512 * (padded // 32) ** 2, "resnet18": 512}
    x = random(2, channels, size, size)
    with torch.no_grad():
        features, logits = FeaturesAndLogits(network)(x)
        torch.testing.assert_close(logits, network(x))
    assert features.shape == (2, expected[name.split("_")[1]]) == (2, network.head_hidden_size)
    network.reset_classifier(4)
    assert network(x).shape == (2, 4)
    assert network.get_classifier().out_features == 4


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Convolutions of 128, 192 (5 x 5), 256, 192, 192 (3 x 3) channels with biases; 192 * 4 * 4 features.
        (
            "ncfm_alexnet_plain",
            sum(o * (i * k * k + 1) for i, o, k in [(3, 128, 5), (128, 192, 5), (192, 256, 3), (256, 192, 3)])
            + 192 * (192 * 9 + 1)
            + 10 * (192 * 16 + 1),
        ),
        ("ncfm_vgg11_bn", 9_231_114),  # of the CIFAR forms by which the field's began, as published with them
        ("ncfm_resnet18_bn", 11_173_962),
    ],
)
def test_their_parameters_are_those_of_the_field_s(name: str, parameters: int) -> None:
    network = build_network(architecture(name))
    assert sum(weights.numel() for weights in network.parameters()) == parameters


def test_alexnet_is_its_layers_in_a_row() -> None:
    network = build_network(architecture("ncfm_alexnet_plain")).double()
    weights = dict(network.state_dict())
    convolutions = [name.removesuffix(".weight") for name in weights if name.startswith("blocks") and "weight" in name]
    x = expected = random(2, 3, 32, 32).double()
    for number, name in enumerate(convolutions):
        kernel = weights[f"{name}.weight"]
        expected = F.relu(F.conv2d(expected, kernel, weights[f"{name}.bias"], padding=kernel.shape[-1] // 2))
        if number in (0, 1, 4):
            expected = F.max_pool2d(expected, 2)
    with torch.no_grad():
        torch.testing.assert_close(network.forward_features(x), expected)
        torch.testing.assert_close(network(x), expected.flatten(1) @ weights["head.weight"].T + weights["head.bias"])


@pytest.mark.parametrize("name", ["ncfm_alexnet", "ncfm_vgg11"])
def test_images_of_28_px_are_framed_to_32(name: str) -> None:
    small, full = build_network(architecture(name, 28, 1)).eval(), build_network(architecture(name, 32, 1)).eval()
    full.load_state_dict(small.state_dict())
    x = random(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(small(x), full(F.pad(x, (2, 2, 2, 2))))


@pytest.mark.parametrize("name", NAMES)
def test_the_norm_is_the_one_its_name_says(name: str) -> None:
    network = build_network(architecture(name))
    batch = {layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)}
    instance = {layer for layer in network.modules() if isinstance(layer, InstanceNorm)}
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    plain, bn = name.endswith("plain"), name.endswith("bn")
    assert len(batch) == (len(convolutions) if bn else 0)
    assert len(instance) == (0 if plain or bn else len(convolutions))
    assert all(layer.affine for layer in instance)


def test_resnet_keeps_the_resolution_in_its_stem() -> None:
    network = build_network(architecture("ncfm_resnet18", 28, 1))
    assert network.forward_features(random(1, 1, 28, 28)).shape == (1, 512, 4, 4)
    assert all(layer.weight.abs().sum() > 0 for layer in network.modules() if isinstance(layer, InstanceNorm))


@pytest.mark.parametrize(
    ("name", "size"), [("ncfm_alexnet", 28), ("ncfm_resnet18", 16), ("convnet-d2-w8-batch-sigmoid-max", 16)]
)
def test_timm_loads_a_pool_of_them(name: str, size: int, tmp_path: Path) -> None:
    """What a pool writes beside its members names the network as timm knows it."""
    made = architecture(name, size)
    check_network(made)
    network = build_network(made).eval()
    weights = network.state_dict()
    pool = Pool(made, tuple("abcdefghij"), ((weights, weights),), ({},), "key", "tests", None)
    write_pool_files(tmp_path, pool, {})
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = random(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
