"""Images of a report: one strip per class, as PNGs inside the page."""

import base64
import math
from dataclasses import dataclass
from io import BytesIO

import numpy as np

MOST_CLASSES = 100  # shown
_SMALLEST = 16  # px
_PIXELS = 800_000  # in all images of a page; each takes 5 bytes in the worst case, noise
_FEW_PIXELS = 400_000  # up to this many, small images are stored enlarged, since browsers blur enlarged images
_LARGE_ENOUGH = 64  # px


@dataclass(frozen=True)
class Grid:
    """Strips of `columns` images for each of the first `classes` classes.

    cell: width of an image in px
    zoom: factor by which it is stored enlarged
    """

    classes: int
    columns: int
    cell: int
    zoom: int


@dataclass(frozen=True)
class Strip:
    """Images of one class side by side.

    data: PNG as a data URI
    width, height: px
    count: number of images
    """

    data: str
    width: int
    height: int
    count: int


def make_grid(classes: int, ipc: int, side: int, sheets: int) -> Grid:
    """Choose the layout of `sheets` sheets on one page, with images of `side` px.

    Many classes get fewer columns, and if there are many pixels, images are reduced.
    """
    shown = min(classes, MOST_CLASSES)
    columns = min(ipc, 10 if shown <= 20 else 6 if shown <= 50 else 4)
    images = sheets * shown * columns
    cell = min(side, max(_SMALLEST, math.isqrt(_PIXELS // images)))
    few = cell == side and images * cell**2 <= _FEW_PIXELS
    return Grid(shown, columns, cell, max(1, _LARGE_ENOUGH // cell) if few else 1)


def make_strips(stored: np.ndarray, ipc: int, grid: Grid) -> list[Strip]:
    """Return a strip of each class shown: the first of its `ipc` images.

    stored: uint8 (C ipc, c, H, W), ordered by class
    """
    by_class = stored.reshape(-1, ipc, *stored.shape[1:])
    return [_strip(images[: grid.columns], grid) for images in by_class[: grid.classes]]


def _strip(images: np.ndarray, grid: Grid) -> Strip:
    from PIL import Image

    size = grid.cell * grid.zoom
    gap = max(2, size // 16)
    strip = Image.new("RGBA", (len(images) * (size + gap) - gap, size))  # transparent between the images
    for column, image in enumerate(images):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        method = Image.Resampling.NEAREST if size >= image.shape[-1] else Image.Resampling.LANCZOS
        strip.paste(Image.fromarray(pixels).resize((size, size), method), (column * (size + gap), 0))
    buffer = BytesIO()
    strip.save(buffer, "PNG")
    data = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Strip(data, strip.width, strip.height, len(images))
