"""Network names that users can give."""

import difflib

import timm

from ncfm_hub.errors import PoolError
from ncfm_hub.networks.build import convnet_for
from ncfm_hub.networks.grid import convnet_options

# As in the dataset-distillation literature: the variants for small images, not for ImageNet.
SHORT_NAMES = {
    name: f"ncfm_{name}"
    for name in (
        "convnet3",
        "convnet4",
        "convnet5",
        "alexnet",
        "alexnet_plain",
        "alexnet_bn",
        "vgg11",
        "vgg11_bn",
        "resnet18",
        "resnet18_bn",
    )
}


def resolve_student(name: str | None, resolution: int) -> str:
    """Return a network's full name, given a short name, a name of the grid or a timm name.

    None and "convnet" mean the field's standard ConvNet for the resolution. A short name takes precedence over the same
    name in timm; use timm's name with its tag for the latter, such as `resnet18.a1_in1k` (no weights are loaded).
    Raises PoolError for an unknown name, with suggestions.
    """
    if name is None or name == "convnet":
        return convnet_for(resolution)
    if name in SHORT_NAMES:
        return SHORT_NAMES[name]
    if convnet_options(name) is not None or timm.is_model(name):
        return name
    close = difflib.get_close_matches(name.split(".")[0], {*SHORT_NAMES, *timm.list_models()})
    hint = f"; close: {', '.join(close)}" if close else ""
    raise PoolError(f"no network is called {name!r}{hint}; give {', '.join(SHORT_NAMES)}, or a name of timm's")
