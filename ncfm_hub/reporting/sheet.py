"""The images of a page: one strip a class, as PNGs inside the page."""

import base64
import math
from dataclasses import dataclass
from io import BytesIO

import numpy as np

MOST_CLASSES = 100  # shown
_SMALLEST = 16  # px
_PIXELS = 800_000  # of all images of a page: of noise, the worst, each takes 5 bytes of the page
_FEW_PIXELS = 400_000  # up to so many, small images are stored enlarged: browsers blur what they enlarge themselves
_LARGE_ENOUGH = 64  # px


@dataclass(frozen=True)
class Grid:
    """Strips of `columns` images for each of the first `classes` classes; images `cell` px wide, stored enlarged by
    `zoom`."""

    classes: int
    columns: int
    cell: int
    zoom: int


@dataclass(frozen=True)
class Strip:
    """Images of one class side by side. data: PNG as a data URI; width, height in px; count: of images."""

    data: str
    width: int
    height: int
    count: int


def make_grid(classes: int, ipc: int, side: int, sheets: int) -> Grid:
    """How `sheets` sheets of images of `side` px fit on one page: with many classes there are fewer columns, and where
    there are many pixels images are made smaller."""
    shown = min(classes, MOST_CLASSES)
    columns = min(ipc, 10 if shown <= 20 else 6 if shown <= 50 else 4)
    images = sheets * shown * columns
    cell = min(side, max(_SMALLEST, math.isqrt(_PIXELS // images)))
    few = cell == side and images * cell**2 <= _FEW_PIXELS
    return Grid(shown, columns, cell, max(1, _LARGE_ENOUGH // cell) if few else 1)


def make_strips(stored: np.ndarray, ipc: int, grid: Grid) -> list[Strip]:
    """A strip of each class shown: the first of its `ipc` images. stored: uint8 (C ipc, c, H, W), class by class."""
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
