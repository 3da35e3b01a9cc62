"""Create a network for a source, with access to its features and logits.

Legend: N images, c channels, (H, W) resolution, D features, C classes.
"""

import difflib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import timm
import torch
from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT
from torch import nn

from ncfm_hub.errors import PoolError
from ncfm_hub.networks import small_images as small_images  # registers AlexNet, VGG-11 and ResNet-18
from ncfm_hub.networks.grid import convnet_name, convnet_options  # registers ConvNets
from ncfm_hub.networks.weights_size import weights_size
from ncfm_hub.utils.waiting import patient

Weights = dict[str, torch.Tensor]

_ANY_CONVNET = "ncfm_convnet"  # timm's entry point for ConvNets of any configuration


@dataclass(frozen=True)
class Architecture:
    """Everything needed to rebuild a network except its weights.

    mean, std: per channel, for pixels in [0, 1]; images are normalised with them before augmentation and the network
    """

    name: str
    classes: int
    channels: int
    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Architecture":
        return cls(**value | {"mean": tuple(value["mean"]), "std": tuple(value["std"])})


def convnet_for(resolution: int) -> str:
    """Return the field's standard ConvNet for a resolution: depth 3 up to 32 px, 4 up to 64 px, 5 beyond."""
    return "ncfm_convnet3" if resolution <= 32 else "ncfm_convnet4" if resolution <= 64 else "ncfm_convnet5"


def pretrained_name(backbone: str | None, weights: str) -> str:
    """Return timm's name for `weights`: a place (`hf-hub:`, `local-dir:`) unchanged, else the backbone with its tag."""
    if is_place(weights):
        return weights
    if backbone is None:
        raise PoolError(f"weights {weights!r} are a tag of a backbone; name the backbone too (--backbone)")
    return f"{backbone}.{weights}"


def is_place(weights: str) -> bool:
    """Return whether `weights` is a place (`hf-hub:`, `local-dir:`) rather than a timm tag."""
    return weights.startswith(("hf-hub:", "hf_hub:", "local-dir:"))


def backbone_of(weights: str) -> str:
    """Return the architecture named in the configuration at `weights` ("hf-hub:", "local-dir:"); loads no weights.

    Raises PoolError if no configuration is found.
    """
    name = pretrained_name(None, weights)
    try:
        with torch.device("meta"), _fetching():
            network: Any = timm.create_model(name, pretrained=False)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PoolError(f"the weights {weights!r} cannot be had: {reason}") from error
    _check_size(network, weights)
    return name_of(network)


def _check_size(network: nn.Module, weights: str) -> None:
    """Raise PoolError if the weights file has less than one byte per parameter of the architecture."""
    parameters, size = sum(parameter.numel() for parameter in network.parameters()), weights_size(weights)
    if size is not None and size < parameters:
        raise PoolError(
            f"the weights {weights!r} have {size:,} bytes, too few for {name_of(network)!r} with its {parameters:,} "
            "parameters, which their config.json names"
        )


def check_backbone(backbone: str, weights: str) -> None:
    """Raise PoolError if `backbone` and the configuration at `weights` name different architectures.

    A timm tag belongs to the backbone and always matches.
    """
    if not is_place(weights):
        return
    found = backbone_of(weights)
    if found != backbone.split(".")[0]:
        raise PoolError(
            f"backbone {backbone!r} and the weights {weights!r}, which are of {found!r}, are two architectures; leave "
            f"out one of pool.backbone (--backbone) and pool.pretrained (--pretrained), or name weights of {backbone!r}"
        )


@contextmanager
def _fetching() -> Iterator[None]:
    """Limit how long timm waits for weights, from the Hub or from plain URLs."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(HF_HUB_DOWNLOAD_TIMEOUT)  # timm has no timeout option for plain URLs
    try:
        with patient():
            yield
    finally:
        socket.setdefaulttimeout(before)


def name_of(network: Any) -> str:
    """Return the architecture name of a network that timm created from a configuration file."""
    name = str(network.pretrained_cfg["architecture"]).split(".")[0]
    return convnet_name(*network.form) if name == _ANY_CONVNET else name


def build_network(architecture: Architecture, pretrained: str | None = None) -> nn.Module:
    """Create a network with a new head for the classes; weights are new, or those timm finds under `pretrained`.

    Raises PoolError if timm does not know the architecture, or cannot load the weights or adapt them to the source.
    """
    name, arguments = timm_call(architecture)
    if pretrained:
        name = pretrained
    elif not timm.is_model(name):
        close = difflib.get_close_matches(name.split(".")[0], timm.list_models())
        hint = f"; close: {', '.join(close)}" if close else ""
        raise PoolError(f"timm knows no backbone {name!r}{hint}")
    try:
        with _fetching() if pretrained else nullcontext():
            network: Any = timm.create_model(name, pretrained=pretrained is not None, **arguments)
        if pretrained:
            network.reset_classifier(architecture.classes)  # timm keeps a pretrained head if the class count matches
        return network
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        wanted = pretrained or architecture.name
        raise PoolError(
            f"backbone {wanted!r} cannot be made for {architecture.resolution} px images: {reason}"
        ) from error


def timm_call(architecture: Architecture) -> tuple[str, dict[str, Any]]:
    """Return timm's name for this architecture and the arguments to create it with."""
    arguments: dict[str, Any] = {"num_classes": architecture.classes, "in_chans": architecture.channels}
    options = convnet_options(architecture.name)
    if options is not None:
        return _ANY_CONVNET, arguments | {"img_size": architecture.resolution} | options
    if architecture.name.startswith("ncfm_convnet") or _made_for_one_size(architecture):
        arguments["img_size"] = architecture.resolution
    return architecture.name, arguments


def shapes_of(architecture: Architecture) -> dict[str, torch.Tensor]:
    """Return a network's weights by name on the "meta" device: shapes and types, no memory."""
    with torch.device("meta"):
        return build_network(architecture).state_dict()


def check_network(architecture: Architecture) -> None:
    """Raise PoolError unless images of the source's size pass through and yield features and logits."""
    network = FeaturesAndLogits(build_network(architecture)).eval()
    x = torch.zeros(2, architecture.channels, architecture.resolution, architecture.resolution)
    try:
        with torch.no_grad():
            features, logits = network(x)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PoolError(
            f"backbone {architecture.name!r} cannot be used on {architecture.resolution} px images: {reason}"
        ) from error
    if features.ndim != 2 or logits.shape != (2, architecture.classes):
        raise PoolError(
            f"backbone {architecture.name!r} gives features {list(features.shape)} and logits {list(logits.shape)}; "
            f"expected [2, D] and {[2, architecture.classes]}"
        )


def _made_for_one_size(architecture: Architecture) -> bool:
    """Return whether timm builds this network for a fixed image size, which then has to be set to the source's."""
    if not timm.is_model(architecture.name):
        return False
    config = timm.get_pretrained_cfg(architecture.name)
    return config is not None and config.fixed_input_size and config.input_size[-1] != architecture.resolution


class FeaturesAndLogits(nn.Module):
    """Wrap a timm network to return both features (N, D), the input of the classifier, and logits (N, C)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network: Any = network  # timm's networks share three methods but no type

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.network.forward_head(self.network.forward_features(x), pre_logits=True)
        return features, self.network.get_classifier()(features)


def normalise(images: torch.Tensor, architecture: Architecture) -> torch.Tensor:
    """Normalise images (N, c, H, W), uint8 or float in [0, 1], to zero mean and unit deviation in float32."""
    return normaliser(architecture, images.device)(images)


@lru_cache
def normaliser(architecture: Architecture, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `normalise` for an architecture on a device, where it finds mean and deviation in place.

    Copying them there at each use would wait for a GPU, and cannot be captured in a graph.
    """
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (architecture.mean, architecture.std))

    def normalised(images: torch.Tensor) -> torch.Tensor:
        pixels = images.float() / 255 if images.dtype == torch.uint8 else images
        return (pixels - mean) / std

    return normalised


def channel_statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of uint8 images (N, c, H, W), for pixels in [0, 1].

    Computed from exact integer counts, so the result does not depend on the order of summation.
    """
    levels = torch.arange(256, dtype=torch.float64)
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256).double()
        mean = (counts * levels).sum() / counts.sum()
        variance = (counts * (levels - mean).square()).sum() / counts.sum()
        means.append(round(float(mean) / 255, 6))
        deviations.append(round(max(float(variance.sqrt()) / 255, 1e-3), 6))
    return tuple(means), tuple(deviations)
