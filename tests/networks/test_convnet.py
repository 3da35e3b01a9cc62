"""ConvNet-d: shapes, timm registration, and its forward pass against the oracle's."""

import pytest
import timm
import torch

from ncfm_hub.networks.build import convnet_for
from ncfm_hub.networks.convnet import ConvNet
from tests import oracle


@pytest.mark.parametrize(
    ("name", "size", "channels", "features"),
    [
        ("ncfm_convnet3", 32, 3, 128 * 4 * 4),
        ("ncfm_convnet3", 28, 1, 128 * 3 * 3),
        ("ncfm_convnet3", 16, 1, 128 * 2 * 2),
        ("ncfm_convnet4", 64, 3, 128 * 4 * 4),
        ("ncfm_convnet5", 128, 3, 128 * 4 * 4),
    ],
)
def test_timm_makes_it_at_any_size(name: str, size: int, channels: int, features: int) -> None:
    network = timm.create_model(name, img_size=size, in_chans=channels, num_classes=10).eval()
    assert network.num_features == features
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules()) == int(name[-1])
    x = torch.rand(2, channels, size, size)
    with torch.no_grad():
        assert network(x).shape == (2, 10)
        assert network.forward_head(network.forward_features(x), pre_logits=True).shape == (2, features)
    if (size, channels) == (16, 1):
        small = timm.create_model("ncfm_convnet3", img_size=16, in_chans=1, num_classes=10)
        assert small.get_classifier().weight.shape == (10, 512)


def test_default_sizes_are_the_field_s() -> None:
    for name, size in (("ncfm_convnet3", 32), ("ncfm_convnet4", 64), ("ncfm_convnet5", 128)):
        assert timm.create_model(name).img_size == size
        assert convnet_for(size) == name
    assert [convnet_for(size) for size in (16, 28, 33, 65, 224)] == [f"ncfm_convnet{d}" for d in (3, 3, 4, 5, 5)]


def test_forward_pass_is_the_oracle_s() -> None:
    network = ConvNet(5, 3, 16, width=8).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    features, logits = oracle.convnet(network.state_dict(), x)
    with torch.no_grad():
        torch.testing.assert_close(network.forward_head(network.forward_features(x), pre_logits=True), features)
        torch.testing.assert_close(network(x), logits)


def test_training_and_evaluation_mode_agree() -> None:
    """Instance norm has no running statistics."""
    network, x = ConvNet(5, 3, 16, width=8), torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(network.train()(x), network.eval()(x))
        torch.testing.assert_close(network(x)[:1], network(x[:1]))


def test_images_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="depth 5 needs images of at least 64 px, found 32"):
        timm.create_model("ncfm_convnet5", img_size=32)


def test_timm_s_calls_work() -> None:
    network = timm.create_model("ncfm_convnet3", num_classes=10)
    network.reset_classifier(4)
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 4)
    network.reset_classifier(0)
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 2048)
    assert timm.create_model("ncfm_convnet3", num_classes=0)(torch.rand(1, 3, 32, 32)).shape == (1, 2048)
    assert {"ncfm_convnet3", "ncfm_convnet4", "ncfm_convnet5"} <= set(timm.list_models("ncfm_*"))
