"""Encoded images whose pixels are known."""

import io
from typing import Any

from PIL import Image as Pillow


def encoded(image: Pillow.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain_image(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """An RGB PNG all of whose pixels are (value, 2 value, 255 - value)."""
    return encoded(Pillow.new("RGB", size, (value, min(2 * value, 255), 255 - value)))
