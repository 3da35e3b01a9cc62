"""The names by which users call for a network."""

import difflib

import timm

from ncfm_hub.errors import PoolError
from ncfm_hub.networks.build import convnet_for
from ncfm_hub.networks.grid import convnet_options

# What the dataset-distillation literature means by them: the forms for small images, not ImageNet's.
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
    """The full name of a network: of a short one, of one of the grid's, or of one of timm's.

    None and "convnet": the field's ConvNet for the resolution. A short name goes before timm's own of that name; that
    one is called for with its tag, as in `resnet18.a1_in1k` (no weights are loaded). Raises PoolError for a name that
    nobody knows, with those that come close.
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
