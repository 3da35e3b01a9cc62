"""Encoded images whose pixels are known, and archives of them."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from PIL import Image as Pillow


def encoded(image: Pillow.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain_image(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """An RGB PNG all of whose pixels are (value, 2 value, 255 - value)."""
    return encoded(Pillow.new("RGB", size, (value, min(2 * value, 255), 255 - value)))


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A .zip file with these members, stored as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
