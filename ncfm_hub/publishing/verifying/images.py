"""Checks of the pixels: the three copies of the images are the same images."""

from typing import TYPE_CHECKING

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.dataset import differs_from_decoded, images_digest
from ncfm_hub.publishing.dataset.layout import TENSORS, Config, directory_of
from ncfm_hub.publishing.dataset.reading import decode_images
from ncfm_hub.publishing.verifying.contents import Contents
from ncfm_hub.utils.counting import counted

if TYPE_CHECKING:
    import torch


def check_stored_images(it: Contents) -> str:
    """The images and labels of `stored` have the digest of those in the tensors."""
    import torch

    tensors, images = it.tensors.get(), _images(it, "stored")
    if images.shape == tensors.images.shape and not torch.equal(images, tensors.images):
        differ = (images != tensors.images).flatten(1).any(1)
        raise DistilledError(differing(differ, f"{it.place('stored')} and {TENSORS}"))
    labels = torch.as_tensor(it.tables["stored"].get().columns["label"]).long()
    found, expected = images_digest(images, labels), images_digest(tensors.images, tensors.labels)
    if found != expected:
        raise DistilledError(
            f"labels or number of images differ between {it.place('stored')} and {TENSORS}: "
            f"SHA-256 {found[:12]} and {expected[:12]}"
        )
    return f"pixels and labels of {it.place('stored')} and {TENSORS} have the SHA-256 {found[:12]}"


def check_decoded_images(it: Contents) -> str:
    """The training images are the tiles of the stored images, enlarged."""
    tensors, images = it.tensors.get(), _images(it, "default")
    if len(images) != tensors.decoded:
        raise DistilledError(
            f"{it.place('default')} has {len(images)} images; {TENSORS} decodes into {tensors.decoded}"
        )
    differ = differs_from_decoded(images, tensors.images, tensors.factor)
    if differ.any():
        raise DistilledError(differing(differ, f"{it.place('default')} and decoded {TENSORS}"))
    return f"{counted(len(images), 'image')} of {it.place('default')} equal the decoded stored images"


def _images(it: Contents, config: Config) -> "torch.Tensor":
    shape = tuple(it.tensors.get().images.shape[1:])
    return decode_images(directory_of(it.folder, config), it.tables[config].get().pictures, shape)


def differing(differ: "torch.Tensor", where: str) -> str:
    """Return how many images differ, and which is the first. differ: bool (N,)."""
    count, first = int(differ.sum()), int(differ.int().argmax())
    return f"{count} of {counted(len(differ), 'image')} differ between {where}, the first in row {first}"
