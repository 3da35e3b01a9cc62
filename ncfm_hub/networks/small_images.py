"""AlexNet, VGG-11 and ResNet-18 for small images, registered with timm.

These are the variants of the dataset-distillation literature, which differ from ImageNet's: convolutions of stride 1,
one linear classifier, and affine instance norm, or batch norm for names ending in `_bn`. Channels, kernels and pooling
follow Zhao et al., "Dataset Condensation with Gradient Matching", ICLR 2021, as do later methods and DC-Bench. As
there, the first convolution of AlexNet and VGG-11 pads images below 32 px with zeros to 32 px.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from ncfm_hub.networks.convnet import InstanceNorm
from ncfm_hub.networks.flat import FlatNetwork

FULL_SIZE = 32  # px
HALVE = 0  # denotes 2 x 2 max pooling in a list of (channels, kernel size)
_Layers = tuple[tuple[int, int] | int, ...]
ALEXNET: _Layers = ((128, 5), HALVE, (192, 5), HALVE, (256, 3), (192, 3), (192, 3), HALVE)
VGG11: _Layers = (
    *((64, 3), HALVE, (128, 3), HALVE, (256, 3), (256, 3), HALVE),
    *((512, 3), (512, 3), HALVE, (512, 3), (512, 3), HALVE),
)
NORMS: dict[str, Callable[..., nn.Module]] = {
    "instance": partial(InstanceNorm, affine=True),
    "batch": nn.BatchNorm2d,
    "none": nn.Identity,
}


class PlainNetwork(FlatNetwork):
    """A sequence of convolutions, each with norm and ReLU, and poolings.

    layers: (channels, kernel size) of a convolution, or HALVE
    norm: a key of NORMS
    """

    def __init__(
        self, layers: _Layers, norm: str, num_classes: int = 1000, in_chans: int = 3, img_size: int = FULL_SIZE
    ):
        blocks: list[nn.Module] = []
        frame = max(0, FULL_SIZE - img_size + 1) // 2
        channels, size = in_chans, img_size + 2 * frame
        for layer in layers:
            if isinstance(layer, int):
                blocks.append(nn.MaxPool2d(2))
                size //= 2
                continue
            out, kernel = layer
            blocks += [nn.Conv2d(channels, out, kernel, padding=kernel // 2 + frame), NORMS[norm](out), nn.ReLU()]
            channels, frame = out, 0
        super().__init__(nn.Sequential(*blocks), channels * size * size, num_classes, in_chans, img_size)


def small_resnet(norm: str, in_chans: int = 3, **kwargs: Any) -> ResNet:
    """Create timm's ResNet-18 with a 3 x 3 first convolution of stride 1 and no max pooling: 4 x 4 maps at 32 px."""
    basic: Any = BasicBlock  # timm's annotation expects an instance
    network: Any = ResNet(
        basic, (2, 2, 2, 2), in_chans=in_chans, norm_layer=NORMS[norm], zero_init_last=False, **kwargs
    )
    network.conv1 = nn.Conv2d(in_chans, network.conv1.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network


def _cfg(first_conv: str, classifier: str, fixed: bool) -> dict[str, Any]:
    return {
        "url": "",
        "input_size": (3, FULL_SIZE, FULL_SIZE),
        "fixed_input_size": fixed,
        "num_classes": 1000,
        "pool_size": None,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "first_conv": first_conv,
        "classifier": classifier,
        "license": "apache-2.0",
    }


_PLAIN, _RESNET = _cfg("blocks.0", "head", fixed=True), _cfg("conv1", "fc", fixed=False)
default_cfgs = generate_default_cfgs(
    {
        "ncfm_alexnet": _PLAIN,
        "ncfm_alexnet_plain": _PLAIN,
        "ncfm_alexnet_bn": _PLAIN,
        "ncfm_vgg11": _PLAIN,
        "ncfm_vgg11_bn": _PLAIN,
        "ncfm_resnet18": _RESNET,
        "ncfm_resnet18_bn": _RESNET,
    }
)


def _plain(variant: str, pretrained: bool, layers: _Layers, norm: str, **kwargs: Any) -> PlainNetwork:
    kwargs.setdefault("img_size", FULL_SIZE)
    return build_model_with_cfg(PlainNetwork, variant, pretrained, layers=layers, norm=norm, **kwargs)


@register_model
def ncfm_alexnet(pretrained: bool = False, **kwargs: Any) -> PlainNetwork:
    """AlexNet with five convolutions and instance norm."""
    return _plain("ncfm_alexnet", pretrained, ALEXNET, "instance", **kwargs)


@register_model
def ncfm_alexnet_plain(pretrained: bool = False, **kwargs: Any) -> PlainNetwork:
    """AlexNet with five convolutions and no norm."""
    return _plain("ncfm_alexnet_plain", pretrained, ALEXNET, "none", **kwargs)


@register_model
def ncfm_alexnet_bn(pretrained: bool = False, **kwargs: Any) -> PlainNetwork:
    """AlexNet with five convolutions and batch norm."""
    return _plain("ncfm_alexnet_bn", pretrained, ALEXNET, "batch", **kwargs)


@register_model
def ncfm_vgg11(pretrained: bool = False, **kwargs: Any) -> PlainNetwork:
    """VGG-11 with instance norm."""
    return _plain("ncfm_vgg11", pretrained, VGG11, "instance", **kwargs)


@register_model
def ncfm_vgg11_bn(pretrained: bool = False, **kwargs: Any) -> PlainNetwork:
    """VGG-11 with batch norm."""
    return _plain("ncfm_vgg11_bn", pretrained, VGG11, "batch", **kwargs)


@register_model
def ncfm_resnet18(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18 with instance norm."""
    return build_model_with_cfg(small_resnet, "ncfm_resnet18", pretrained, norm="instance", **kwargs)


@register_model
def ncfm_resnet18_bn(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18 with batch norm."""
    return build_model_with_cfg(small_resnet, "ncfm_resnet18_bn", pretrained, norm="batch", **kwargs)
