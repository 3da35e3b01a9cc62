"""A page taken apart, and results of every kind to put on one."""

import base64
import io
from html.parser import HTMLParser
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.publishing.noise_sets import figures, measured

_VOID = {"meta", "link", "img", "path"}
_HEADINGS = {"h1", "h2", "h3"}


class Page(HTMLParser):
    """tags: every (tag, attributes); texts: (tag it stands in, text); anything not closed in order is an error."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1], " ".join(data.split())))

    def inside(self, tag: str) -> list[str]:
        """Texts that stand directly in such tags."""
        return [text for name, text in self.texts if name == tag]

    def headings(self) -> list[str]:
        """Of sections."""
        return self.inside("h2")

    def text(self) -> str:
        """All that is read, the style sheet apart."""
        return " ".join(text for tag, text in self.texts if tag != "style")

    def attributes(self, name: str) -> list[str]:
        """Values of this attribute, of whatever tag."""
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]

    def pictures(self) -> dict[str, np.ndarray]:
        """Pixels of the images by alternative text, uint8 (H, W, 4)."""
        images = [attrs for tag, attrs in self.tags if tag == "img"]
        found = {}
        for attrs in images:
            head, _, data = (attrs["src"] or "").partition(",")
            assert head == "data:image/png;base64"
            picture = Image.open(io.BytesIO(base64.b64decode(data)))
            assert (str(picture.width), str(picture.height)) == (attrs["width"], attrs["height"])
            found[attrs["alt"] or ""] = np.asarray(picture)
        assert len(found) == len(images)
        return found


def two_images(strip: np.ndarray, side: int) -> torch.Tensor:
    """The two images of a strip at their own size: uint8 (2, 4, side, side). Enlarged ones must have square pixels."""
    zoom = len(strip) // side
    large = np.stack([strip[:, : len(strip)], strip[:, -len(strip) :]])
    small = large[:, ::zoom, ::zoom]
    assert (small.repeat(zoom, 1).repeat(zoom, 2) == large).all()
    return torch.from_numpy(small.transpose(0, 3, 1, 2).copy())


def everything(classes: int) -> dict[str, Any]:
    """A results.json in which everything was measured."""
    rows = (
        ("random", "hard", 31.0),
        ("start", "hard", 42.5),
        ("distilled", "hard", 61.25),
        ("distilled", "soft", 64.0),
    )
    results = measured(*rows, ("herding", "hard", 35.5), ("whole", "hard", 85.0))
    for number, row in enumerate(results["rows"][:4]):
        row["per_class"] = [10.0 * number + c / 10 for c in range(classes)]
    results["cross_architecture"] = [
        {"set": name, "labels": kind, "student": student, "images": 24, "accuracy": figures(mean - less)}
        for student, less in (("convnet3", 0), ("alexnet", 11.5))
        for name, kind, mean in rows
    ]
    results["ranking"] = {
        "HLR": fraction(0.2375),
        "IOR": fraction(0.33),
        "LRS": fraction(0.29),
        "ARS": fraction(0.4125),
        "labels": "soft",
        "without_augmentation": [],
    }
    results["distillation"] = {
        "steps": 6,
        "first": {"loss": 29.5, "ncfd": 23.5, "calibration": 1.2},
        "last": {"loss": 17.75, "ncfd": 17.25, "calibration": 0.1},
        "floor": 34.05,
        "curve": [[0, 29.5], [2, 24.0], [4, 17.75]],
    }
    return results


def fraction(mean: float) -> dict[str, Any]:
    """A figure of DD-Ranking."""
    return {"n": 5, "mean": mean, "std": 0.004, "values": [mean] * 5}
