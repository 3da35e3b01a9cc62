"""ConvNets by name: the grid of 720, what each name means, and that the standard ConvNet is unchanged."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ncfm_hub.errors import PoolError
from ncfm_hub.networks import convnet
from ncfm_hub.networks.build import Architecture, build_network, check_network
from ncfm_hub.networks.convnet import ConvNet, run_natively
from ncfm_hub.networks.grid import convnet_grid, convnet_options
from ncfm_hub.networks.names import SHORT_NAMES, resolve_student

STANDARD = "convnet-d3-w128-instance-relu-avg"


def architecture(name: str, size: int = 32, channels: int = 3) -> Architecture:
    return Architecture(name, 10, channels, size, (0.5,) * channels, (0.25,) * channels)


def fresh(name: str, size: int = 32) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_network(architecture(name, size))


def test_the_grid_has_720_networks_that_all_can_be_made_for_32_px() -> None:
    names = convnet_grid()
    assert len(names) == len(set(names)) == 4 * 4 * 5 * 3 * 3
    assert STANDARD in names
    with torch.device("meta"):
        for name in names[::7]:
            network = build_network(architecture(name))
            options = convnet_options(name)
            assert options is not None
            side = 32 if options["pooling"] == "none" else 32 >> options["depth"]
            assert network.head.in_features == options["width"] * side**2


def test_the_standard_kind_is_the_field_s_convnet_bit_for_bit() -> None:
    named, known = fresh(STANDARD).state_dict(), fresh("ncfm_convnet3").state_dict()
    places = [
        f"blocks.{4 * block + part}.{what}" for block in range(3) for part in (0, 1) for what in ("weight", "bias")
    ]
    assert list(named) == list(known) == [*places, "head.weight", "head.bias"]
    assert all(torch.equal(named[name], known[name]) for name in known)


def by_hand(weights: dict[str, torch.Tensor], x: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
    """The last map by torch's functions; norms from their definitions."""
    tensors = iter(weights.values())
    for _ in range(options["depth"]):
        x = F.conv2d(x, next(tensors), next(tensors), padding=1)
        count, width = x.shape[:2]
        if options["norm"] != "none":
            over = {
                "batch": x.transpose(0, 1).reshape(1, width, -1),
                "layer": x.reshape(count, 1, -1),
                "instance": x.reshape(count, width, -1),
                "group": x.reshape(count, 4, -1),
            }[options["norm"]]
            scaled = (over - over.mean(2, keepdim=True)) / (over.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
            if options["norm"] == "batch":
                x = scaled.reshape(width, count, *x.shape[2:]).transpose(0, 1)
                next_weight, next_bias = next(tensors), next(tensors)
                _ = next(tensors), next(tensors), next(tensors)  # running statistics and their count
            else:
                x = scaled.reshape(x.shape)
                next_weight, next_bias = next(tensors), next(tensors)
            if next_weight.ndim == 1:
                next_weight, next_bias = next_weight[:, None, None], next_bias[:, None, None]
            x = x * next_weight + next_bias
        x = {"sigmoid": torch.sigmoid, "relu": torch.relu, "leakyrelu": lambda x: torch.where(x > 0, x, 0.01 * x)}[
            options["activation"]
        ](x)
        if options["pooling"] != "none":
            parts = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2].unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
            x = parts.amax((3, 5)) if options["pooling"] == "max" else parts.mean((3, 5))
    return x


@pytest.mark.parametrize(
    "name",
    [
        "convnet-d1-w8-none-sigmoid-none",
        "convnet-d2-w8-batch-relu-max",
        "convnet-d2-w8-layer-leakyrelu-avg",
        "convnet-d3-w8-group-relu-none",
        "convnet-d2-w8-instance-leakyrelu-max",
    ],
)
def test_a_name_says_what_the_network_computes(name: str) -> None:
    network, options = fresh(name, 18).double().train(), convnet_options(name)
    assert options is not None
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        x = torch.randn(3, 3, 18, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        expected = by_hand(network.state_dict(), x, options)
        torch.testing.assert_close(network.forward_features(x), expected)
        assert network(x).shape == (3, 10)


def test_only_the_standard_kind_runs_in_our_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convnet, "native_works", lambda: True)
    assert all(run_natively(ConvNet(10, width=width)) for width in (32, 128))
    for changed in ({"norm": "batch"}, {"activation": "leakyrelu"}, {"pooling": "max"}):
        assert not run_natively(ConvNet(10, width=32, **changed))  # type: ignore[arg-type]


def test_what_is_no_name_or_too_deep_is_refused_in_one_line() -> None:
    for name in ("convnet-d3-w128-instance-relu", "convnet-d0-w8-none-relu-avg", "convnet-d3-w128-instnce-relu-avg"):
        with pytest.raises(PoolError, match=rf"'{name}' names no ConvNet; the form is convnet-d3") as raised:
            resolve_student(name, 32)
        assert "\n" not in str(raised.value)
    with pytest.raises(PoolError, match=r"'convnet-d4-w32-none-relu-max' cannot be made for 16 px images: .* 32 px"):
        check_network(architecture("convnet-d4-w32-none-relu-max", 16))
    check_network(architecture("convnet-d4-w32-none-relu-none", 16))
    assert convnet_options("convnext_atto") is None


def test_short_names_stand_for_the_field_s_networks() -> None:
    assert resolve_student("resnet18", 32) == "ncfm_resnet18"
    assert [resolve_student(name, 64) for name in (None, "convnet", "convnet3")] == [
        "ncfm_convnet4",
        "ncfm_convnet4",
        "ncfm_convnet3",
    ]
    for name in ("resnet10t", "resnet18.a1_in1k", "ncfm_vgg11_bn", STANDARD):
        assert resolve_student(name, 32) == name
    for short in SHORT_NAMES:
        build_network(architecture(resolve_student(short, 64), 64))


@pytest.mark.parametrize(("name", "close"), [("resnt18", "resnet18"), ("alexnt", "alexnet"), ("mobilenetv3", "mobile")])
def test_an_unknown_name_is_refused_with_what_comes_close(name: str, close: str) -> None:
    with pytest.raises(PoolError, match=rf"no network is called '{name}'; close: .*{close}") as raised:
        resolve_student(name, 32)
    assert "\n" not in str(raised.value)
