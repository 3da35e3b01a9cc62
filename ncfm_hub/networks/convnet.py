"""ConvNet-d, the standard network of the dataset-distillation literature, registered with timm.

d blocks of 3 x 3 convolution (width 128), affine instance norm, ReLU and 2 x 2 average pooling; the features are the
flattened last feature map. Importing `ncfm_hub.extractors` makes `timm.create_model("ncfm_convnet3", num_classes=10,
img_size=32)` work, as well as loading `hf-hub:` repositories whose config names one of these architectures.
"""

from collections.abc import Callable
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from ncfm_hub.machine.kernels import blocks, winograd
from ncfm_hub.machine.kernels.available import native_works
from ncfm_hub.networks.flat import FlatNetwork

SMALLEST_MAP = 2  # a 1 x 1 feature map has no spatial information
GROUPS = 4  # for group norm


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm as one scale and shift per image and channel; statistics in fp32 or better.

    torch's implementation is a batch norm over N * channels maps, which torch.compile turns into transposed copies of
    the largest feature maps.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        # In two passes: torch.var_mean takes up to 30 times as long on a CPU.
        centred = precise - precise.mean((2, 3), keepdim=True)
        scale = torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + self.eps) * self.weight[:, None, None]
        return torch.addcmul(self.bias[:, None, None], centred, scale).to(x.dtype)


class HalvingPool(nn.AvgPool2d):
    """2 x 2 average pooling, written in the form that is faster in each of eager and compiled mode."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            return super().forward(x)
        height, width = x.shape[2] // 2, x.shape[3] // 2
        return x[:, :, : 2 * height, : 2 * width].unflatten(3, (width, 2)).unflatten(2, (height, 2)).mean((3, 5))


NORMS = ("none", "batch", "layer", "instance", "group")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
}
POOLINGS: dict[str, Callable[[], nn.Module]] = {"none": nn.Identity, "max": lambda: nn.MaxPool2d(2), "avg": HalvingPool}


class ConvNet(FlatNetwork):
    """ConvNet of `depth` blocks (convolution, norm, activation, pooling); default: the field's standard configuration.

    norm: one of NORMS; "layer" has a weight for each value of the feature map, "group" has 4 groups
    activation: one of ACTIVATIONS
    pooling: one of POOLINGS, 2 x 2
    Features: (N, width * m * m), where m is img_size halved by each pooling, rounded down.
    """

    compiles_quickly = True  # read by `Engine.compile` on CPUs

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        img_size: int = 32,
        depth: int = 3,
        width: int = 128,
        norm_eps: float = 1e-5,
        norm: str = "instance",
        activation: str = "relu",
        pooling: str = "avg",
    ):
        halvings = 0 if pooling == "none" else depth
        map_size = img_size >> halvings
        if map_size < SMALLEST_MAP:
            raise ValueError(
                f"a ConvNet of depth {depth} needs images of at least {SMALLEST_MAP << depth} px, found {img_size}"
            )
        layers: list[nn.Module] = []
        channels, size = in_chans, img_size
        for _ in range(depth):
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            layers += _norm(norm, width, size, norm_eps)
            layers += [ACTIVATIONS[activation](), POOLINGS[pooling]()]
            channels, size = width, size // 2 if halvings else size
        super().__init__(nn.Sequential(*layers), width * map_size * map_size, num_classes, in_chans, img_size)
        self.form = (depth, width, norm, activation, pooling)
        self.is_standard = (norm, activation, pooling) == ("instance", "relu", "avg")
        self.native = False

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_chans, H, W) to the last feature map (N, width, m, m)."""
        if not self.native or x.device.type != "cpu" or x.dtype != torch.float32:
            return self.blocks(x)
        for first in range(0, len(self.blocks), 4):
            convolution: Any = self.blocks[first]
            norm: Any = self.blocks[first + 1]
            affine = (norm.weight, norm.bias, norm.eps)
            if blocks.first_block_works(*convolution.weight.shape[1::-1]):
                x = blocks.first_block(x, convolution.weight, *affine)
            else:  # the norm takes away what the convolution's bias adds
                x = blocks.norm_relu_pool(winograd.convolution(x, convolution.weight), *affine)
        return x


def _norm(name: str, width: int, size: int, epsilon: float) -> list[nn.Module]:
    """Return the norm for maps (N, width, size, size); empty for "none"."""
    match name:
        case "none":
            return []
        case "batch":
            return [nn.BatchNorm2d(width, eps=epsilon)]
        case "layer":
            return [nn.LayerNorm((width, size, size), eps=epsilon)]
        case "instance":
            return [InstanceNorm(width, eps=epsilon, affine=True)]
        case "group":
            return [nn.GroupNorm(GROUPS, width, eps=epsilon)]
    raise ValueError(f"a ConvNet's norm is one of {', '.join(NORMS)}; found {name!r}")


def run_natively(network: nn.Module) -> bool:
    """Switch a ConvNet to the native kernels: fp32 on a CPU, three times as fast as torch's operations.

    Returns whether it was switched: not for other networks, other configurations of ConvNet, or if the kernels cannot
        be
    built.
    """
    if not isinstance(network, ConvNet) or not network.is_standard or not native_works():
        return False
    network.native = True
    return True


default_cfgs = generate_default_cfgs(
    {
        name: {
            "url": "",
            "input_size": (3, size, size),
            "num_classes": 1000,
            "pool_size": None,
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.25, 0.25),
            "first_conv": "blocks.0",
            "classifier": "head",
            "license": "apache-2.0",
        }
        for name, size in (
            ("ncfm_convnet", 32),
            ("ncfm_convnet3", 32),
            ("ncfm_convnet4", 64),
            ("ncfm_convnet5", 128),
        )
    }
)


def _build(variant: str, pretrained: bool, depth: int, **kwargs: Any) -> ConvNet:
    kwargs.setdefault("img_size", 8 << (depth - 1))
    return build_model_with_cfg(ConvNet, variant, pretrained, depth=depth, **kwargs)


@register_model
def ncfm_convnet(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """Create a ConvNet with any depth, width, norm, activation and pooling."""
    kwargs.setdefault("img_size", 32)
    return build_model_with_cfg(ConvNet, "ncfm_convnet", pretrained, **kwargs)


@register_model
def ncfm_convnet3(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """ConvNet-3, for 16 to 32 px."""
    return _build("ncfm_convnet3", pretrained, depth=3, **kwargs)


@register_model
def ncfm_convnet4(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """ConvNet-4, for 64 px."""
    return _build("ncfm_convnet4", pretrained, depth=4, **kwargs)


@register_model
def ncfm_convnet5(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """ConvNet-5, for 128 px."""
    return _build("ncfm_convnet5", pretrained, depth=5, **kwargs)
