"""Compare the images and soft labels of two distilled datasets, class by class and number by number.

Shapes: S stored images, M training images, C classes. Only classes of both are compared, and of each as many images as
both have.
"""

from typing import TYPE_CHECKING, Any

from ncfm_hub.publishing.dataset.dataset import Distilled

if TYPE_CHECKING:
    import torch


def compare_classes(a: Distilled, b: Distilled) -> dict[str, Any]:
    """Return the classes of one dataset only, and whether those of both are in the same order."""
    return {
        "a": len(a.class_names),
        "b": len(b.class_names),
        "only_a": [name for name in a.class_names if name not in b.class_names],
        "only_b": [name for name in b.class_names if name not in a.class_names],
        "same_order": _common(a, b) == _common(b, a),
    }


def compare_pixels(a: Distilled, b: Distilled) -> dict[str, Any]:
    """Return how many stored images differ, and by how much: levels of 0 to 255, over all compared pixels.

    The cosine is that of the two vectors of all pixels, each image less its mean.
    """
    if a.stored.shape[1:] != b.stored.shape[1:]:
        sizes = (" x ".join(map(str, one.stored.shape[1:])) for one in (a, b))
        return _not_compared(f"images of {' and '.join(sizes)} pixels")
    names, ipc = _common(a, b), min(a.ipc, b.ipc)
    if not names:
        return _not_compared("no class in common")
    one, other = (it.stored[_rows(it, names, it.ipc, ipc)] for it in (a, b))
    apart = (one.int() - other.int()).abs()
    return {
        "compared": len(one),
        "differing": int(apart.flatten(1).any(1).sum()),
        "mean_absolute_difference": float(apart.double().mean()),
        "largest_difference": int(apart.max()),
        "cosine": _cosine(one, other),
    }


def compare_soft_labels(a: Distilled, b: Distilled) -> dict[str, Any]:
    """Return how many soft labels differ, by how much, and for how many images the most probable class is another."""
    if set(a.class_names) != set(b.class_names) or a.factor != b.factor:
        return _not_compared("other classes" if a.factor == b.factor else f"factors {a.factor} and {b.factor}")
    names, tiles = _common(a, b), a.factor**2
    ipc = min(a.ipc, b.ipc)
    one, other = (
        it.soft_labels[_rows(it, names, it.ipc * tiles, ipc * tiles)][:, [it.class_names.index(name) for name in names]]
        for it in (a, b)
    )
    apart = (one - other).abs()
    return {
        "compared": len(one),
        "differing": int(apart.any(1).sum()),
        "mean_absolute_difference": float(apart.double().mean()),
        "most_probable_class_differs": int((one.argmax(1) != other.argmax(1)).sum()),
    }


def _cosine(one: "torch.Tensor", other: "torch.Tensor") -> float:
    import torch

    centred = (images.float().flatten(1) for images in (one, other))
    one, other = ((images - images.mean(1, keepdim=True)).flatten() for images in centred)
    return float(torch.cosine_similarity(one, other, dim=0))


def _common(of: Distilled, other: Distilled) -> list[str]:
    return [name for name in of.class_names if name in other.class_names]


def _rows(it: Distilled, names: list[str], per_class: int, count: int) -> "torch.Tensor":
    """Return the first `count` of the `per_class` rows of each class."""
    import torch

    first = torch.tensor([it.class_names.index(name) * per_class for name in names])
    return (first[:, None] + torch.arange(count)).flatten()


def _not_compared(why: str) -> dict[str, Any]:
    return {"compared": 0, "why": why}
