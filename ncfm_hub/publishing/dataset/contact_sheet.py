"""Contact sheet: one row of stored images per class, with the class name; many classes are split into blocks."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ncfm_hub.utils.files import whole_file

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

SMALLEST_CELL = 48  # px; smaller images are enlarged by an integer factor
LARGEST_CELL = 128
_PIXELS = 800_000  # of image content, which compresses to at most about 3 bytes each
_INK, _PAPER, _FAINT = (28, 32, 38), (255, 255, 255), (140, 148, 158)
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "Arial Unicode.ttf")


@dataclass(frozen=True)
class _Layout:
    """Sizes in px.

    cell: side of an image on the sheet
    rows: rows per block
    names: width of the name column
    """

    blocks: int
    rows: int
    columns: int
    cell: int
    gap: int
    names: int
    margin: int

    @property
    def block_width(self) -> int:
        return self.names + self.columns * (self.cell + self.gap)

    @property
    def size(self) -> tuple[int, int]:
        between = (self.blocks - 1) * self.margin
        width = 2 * self.margin + self.blocks * self.block_width + between - self.gap
        return width, 2 * self.margin + self.rows * (self.cell + self.gap) - self.gap


def contact_sheet(
    stored: "torch.Tensor", labels: "torch.Tensor", class_names: tuple[str, ...], path: Path, max_columns: int = 10
) -> None:
    """Write a PNG of stored images, one row per class.

    At most `max_columns` images per class, fewer above 20 classes; below about 3 MB.

    stored: uint8 (S, c, H, W), c = 1 or 3
    labels: int64 (S,)
    """
    from PIL import Image, ImageDraw

    from ncfm_hub.sources.rows import rows_by_class

    rows = rows_by_class(labels, len(class_names))
    layout = _layout(len(rows), min(max_columns, max(map(len, rows))), stored.shape[-1], class_names)
    sheet = Image.new("RGB", layout.size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), _font(_text_size(layout.cell))
    for c, indices in enumerate(rows):
        block, row = divmod(c, layout.rows)
        left = layout.margin + block * (layout.block_width + layout.margin)
        top = layout.margin + row * (layout.cell + layout.gap)
        name, color = _label(class_names[c], c, layout.names - 16, font)
        draw.text((left, top + layout.cell / 2), name, fill=color, font=font, anchor="lm")
        for column, index in enumerate(indices[: layout.columns]):
            x = left + layout.names + column * (layout.cell + layout.gap)
            sheet.paste(_picture(stored[index], layout.cell), (x, top))
    with whole_file(path) as temporary:
        sheet.save(temporary, "PNG")


def _layout(classes: int, columns: int, side: int, class_names: tuple[str, ...]) -> _Layout:
    """Reduce columns for many classes, and split a tall sheet into blocks side by side until it is nearly square."""
    columns = columns if classes <= 20 else min(columns, 6 if classes <= 50 else 4)
    cell = side * math.ceil(SMALLEST_CELL / side) if side < SMALLEST_CELL else min(side, LARGEST_CELL)
    # Enlarged pixels compress well; file size depends on pixels shown at their own size or smaller.
    shown = classes * columns * min(cell, side) ** 2
    if shown > _PIXELS:
        cell = max(min(cell, int(min(cell, side) * math.sqrt(_PIXELS / shown))), 16)
    gap, margin = max(2, cell // 24), 24
    names = _names_width(class_names, _text_size(cell))
    width = names + columns * (cell + gap) + margin
    blocks = max(1, round(math.sqrt(classes * (cell + gap) * 1.3 / width)))
    return _Layout(blocks, math.ceil(classes / blocks), columns, cell, gap, names, margin)


def _text_size(cell: int) -> int:
    return min(max(cell // 3, 11), 20)


def _names_width(class_names: tuple[str, ...], text_size: int) -> int:
    font = _font(text_size)
    widest = max(font.getlength(_printable(name, font) or "0000") for name in class_names)
    return math.ceil(min(widest, 12 * text_size)) + 16


def _label(name: str, number: int, room: int, font: "FreeTypeFont") -> tuple[str, tuple[int, int, int]]:
    """Return the name cut to `room` px, and its colour.

    If the font lacks a letter of the name, the class number in a fainter colour.
    """
    text = _printable(name, font)
    if not text:
        return f"#{number}", _FAINT
    if font.getlength(text) <= room:
        return text, _INK
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…", _INK


def _printable(name: str, font: "FreeTypeFont") -> str:
    """Return `name` on one line and short enough to measure; empty if the font lacks any of its letters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in name[:60]).split())
    return text if all(c == " " or _has_glyph(font, c) for c in set(text)) else ""


def _has_glyph(font: "FreeTypeFont", character: str) -> bool:
    """Return whether the font has a character; a missing one is drawn like a code point that is never assigned."""
    if character.isascii():
        return True
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010fffe"))


@cache
def _font(size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _picture(image: "torch.Tensor", cell: int) -> "Image":
    from PIL import Image

    pixels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    method = Image.Resampling.NEAREST if cell >= picture.width else Image.Resampling.LANCZOS
    return picture.resize((cell, cell), method).convert("RGB")
