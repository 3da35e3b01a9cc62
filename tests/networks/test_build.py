"""Any timm network as features and logits; statistics and normalisation of a source's images."""

import math
from pathlib import Path

import pytest
import torch

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.pool import blend
from ncfm_hub.networks.build import (
    Architecture,
    FeaturesAndLogits,
    build_network,
    channel_statistics,
    check_network,
    normalise,
    pretrained_name,
)
from ncfm_hub.networks.frozen import FrozenNetwork
from tests.matching.tiny import plain_engine


def architecture(name: str, size: int = 32, channels: int = 3, classes: int = 7) -> Architecture:
    return Architecture(name, classes, channels, size, (0.5,) * channels, (0.25,) * channels)


@pytest.mark.parametrize("name", ["resnet10t", "tf_efficientnet_lite0", "mobilenetv3_small_050", "convnext_atto"])
def test_timm_networks_give_the_features_before_their_classifier(name: str) -> None:
    network = build_network(architecture(name)).eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        features, logits = FeaturesAndLogits(network)(x)
        torch.testing.assert_close(logits, network(x), atol=1e-5, rtol=1e-5)
    assert features.shape == (2, network.head_hidden_size)
    assert logits.shape == (2, 7)


def test_batch_norm_uses_blended_running_statistics(test_data: Path) -> None:
    """A real checkpoint of 128 px, its head fresh; the other end of the blend has statistics of its own."""
    weights = f"local-dir:{test_data / 'checkpoints' / 'tf_efficientnet_lite0.in1k'}"
    lite = architecture("tf_efficientnet_lite0", 128, classes=4)
    trained = build_network(lite, weights).state_dict()
    fresh = build_network(lite).state_dict()
    assert not torch.equal(trained["conv_stem.weight"], fresh["conv_stem.weight"])
    assert trained["classifier.weight"].shape == (4, 1280)
    mixed = blend((fresh, trained), 0.25)
    for name in ("bn1.running_mean", "bn1.running_var", "bn1.weight", "conv_stem.weight"):
        torch.testing.assert_close(mixed[name], 0.25 * fresh[name] + 0.75 * trained[name])
    assert mixed["bn1.num_batches_tracked"].dtype == torch.int64

    x = torch.rand(3, 3, 128, 128)
    plain = build_network(lite)
    plain.load_state_dict(mixed)
    plain.eval()
    frozen = FrozenNetwork(build_network(lite), plain_engine())
    with torch.no_grad():
        features, logits = frozen.bind(mixed)(x)
        torch.testing.assert_close(logits, plain(x), atol=1e-4, rtol=1e-4)
        assert features.shape == (3, 1280)
        # Evaluation mode: an image's features do not depend on its neighbours in the batch.
        torch.testing.assert_close(frozen.bind(mixed)(x[:1])[0], features[:1], atol=1e-4, rtol=1e-3)


def test_a_frozen_network_differentiates_its_input_only_and_keeps_weights_apart() -> None:
    lite = architecture("ncfm_convnet3", 16)
    first, second = build_network(lite).state_dict(), build_network(lite).state_dict()
    before = {name: tensor.clone() for name, tensor in first.items()}
    frozen = FrozenNetwork(build_network(lite), plain_engine())
    one, other = frozen.bind(first), frozen.bind(second)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    one(x)[1].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert not torch.equal(one(x)[0], other(x)[0])
    assert all(torch.equal(first[name], before[name]) and first[name].grad is None for name in before)


def test_unknown_backbones_are_refused_with_what_comes_close() -> None:
    with pytest.raises(PoolError, match="timm knows no backbone 'resnet18xx'") as raised:
        build_network(architecture("resnet18xx"))
    assert "\n" not in str(raised.value)
    with pytest.raises(PoolError, match=r"timm knows no backbone 'resnet10'; close: .*resnet10t"):
        build_network(architecture("resnet10"))
    with pytest.raises(PoolError, match=r"cannot be made for 32 px images: .* at least 64 px"):
        build_network(architecture("ncfm_convnet5", 32))


def test_networks_made_for_one_size_are_made_for_the_source_s() -> None:
    vit = architecture("vit_tiny_patch16_224", 32)
    check_network(vit)
    assert build_network(vit).state_dict()["pos_embed"].shape == (1, 1 + 4, 192)
    check_network(architecture("vit_tiny_patch16_224", 224))
    check_network(architecture("ncfm_convnet3", 28, channels=1))


@pytest.mark.parametrize(("name", "size"), [("inception_v3", 32), ("deit_tiny_distilled_patch16_224", 32)])
def test_networks_that_cannot_serve_are_refused_in_one_line(name: str, size: int) -> None:
    """Images too small for its strides; two classifiers instead of one."""
    with pytest.raises(PoolError, match=rf"backbone '{name}' cannot be used on 32 px images") as raised:
        check_network(architecture(name, size))
    assert "\n" not in str(raised.value)


def test_missing_weights_are_a_readable_error(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="cannot be made"):
        build_network(architecture("resnet10t"), f"local-dir:{tmp_path / 'nothing'}")


def test_names_of_pretrained_weights() -> None:
    assert pretrained_name(None, "hf-hub:owner/name") == "hf-hub:owner/name"
    assert pretrained_name("resnet10t", "local-dir:/some/where") == "local-dir:/some/where"
    assert pretrained_name("resnet10t", "c3_in1k") == "resnet10t.c3_in1k"
    with pytest.raises(PoolError, match="name the backbone"):
        pretrained_name(None, "c3_in1k")


def test_statistics_are_those_of_the_pixels() -> None:
    images = torch.randint(256, (20, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images[:, 1] = 51  # a flat channel has no deviation to divide by
    mean, std = channel_statistics(images)
    pixels = images.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert std[0] == pytest.approx(pixels[:, 0].std(unbiased=False).item(), abs=1e-6)
    assert std[1] == pytest.approx(1e-3)
    assert all(math.isfinite(value) for value in (*mean, *std))


def test_normalised_images_have_zero_mean_and_unit_deviation() -> None:
    images = torch.randint(256, (20, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    described = Architecture("x", 2, 3, 8, *channel_statistics(images))
    whole = normalise(images, described)
    torch.testing.assert_close(whole.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(whole.std((0, 2, 3), unbiased=False), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalise(images.float() / 255, described), whole, atol=1e-5, rtol=0)


def test_an_architecture_survives_its_description() -> None:
    described = architecture("resnet10t", 48, 1)
    assert Architecture.from_dict(described.as_dict()) == described
