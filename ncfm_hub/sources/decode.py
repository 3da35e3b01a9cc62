"""Decode an image of any mode and size to uint8 at the wanted size.

EXIF orientation is applied, transparency is composed onto white, 16-bit grey is scaled to 8 bits, and floating values
are read as 0..1 if none is above 1, else as 0..255. The shorter side is resized to the resolution (antialiased
bicubic), and the centre is cropped.
"""

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

# Raise whenever the same bytes decode to other pixels; part of every cache key.
DECODER_VERSION = 1
# Formats that are pure data; for others Pillow runs programs (EPS).
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA", "PCX")
_GREY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_LONGEST = 64  # longer sides are cropped before resizing, or a line of pixels could become gigabytes
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Undecodable(ValueError):
    """An image cannot be decoded; the message says why."""


def decodable_suffixes() -> frozenset[str]:
    """Return the suffixes of image files that can be read, for example `.png`."""
    return frozenset(suffix for suffix, known in Image.registered_extensions().items() if known in _FORMATS)


def decode_image(data: bytes | Path, resolution: int, channels: int) -> tuple[np.ndarray, frozenset[str]]:
    """Return uint8 (channels, resolution, resolution) and remarks: `grey`, `colour`, `transparent`, `16-bit`.

    Raises Undecodable if the bytes are corrupt, truncated, of an unknown format, or contain non-finite values.
    """
    Image.init()  # idempotent
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        with Image.open(source, formats=[known for known in _FORMATS if known in Image.OPEN]) as opened:
            opened.load()
            remarks = _remarks(opened)
            image = _eight_bit(_upright(opened), channels)
            image = _resize(image, resolution)
    except Undecodable:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        reason = "of no known format" if "cannot identify" in str(error) else str(error) or type(error).__name__
        raise Undecodable(reason) from error
    except Exception as error:  # Pillow raises more types on damaged bytes: RuntimeError (AVIF), struct.error
        raise Undecodable(f"it is damaged ({error!r})") from error
    pixels = np.asarray(image)
    return (pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)), remarks


def _upright(image: Image.Image) -> Image.Image:
    """Return a copy rotated by the EXIF orientation, or unchanged if the orientation cannot be read."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF data can be malformed in any way while the pixels are fine
        turn = None
    return image.copy() if turn is None else image.transpose(turn)


def _remarks(image: Image.Image) -> frozenset[str]:
    remarks = {"grey" if image.mode in _GREY else "colour"}
    if image.mode in _ALPHA or "transparency" in image.info:
        remarks.add("transparent")
    if image.mode.startswith("I"):
        remarks.add("16-bit")
    return frozenset(remarks)


def _eight_bit(image: Image.Image, channels: int) -> Image.Image:
    """Convert to mode RGB or L."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_scaled(np.asarray(image)))
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    target = "L" if channels == 1 else "RGB"
    return image if image.mode == target else image.convert(target)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Convert 16-bit or floating values (H, W) to uint8."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise Undecodable("it holds NaN or infinite values")
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 255:
            raise Undecodable(f"its float values range from {low:g} to {high:g}; expected 0..1 or 0..255")
        return np.rint(values * (255.0 if high <= 1 else 1.0)).astype(np.uint8)
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise Undecodable(f"its values range from {wide.min()} to {wide.max()}; expected 16 bits (0..65535)")
    return ((wide * 255 + 32767) // 65535).astype(np.uint8)


def _resize(image: Image.Image, resolution: int) -> Image.Image:
    """Resize the shorter side to `resolution` and crop the centre."""
    short, long = sorted(image.size)
    if long > _LONGEST * short:
        image = _centre(image, min(image.width, _LONGEST * short), min(image.height, _LONGEST * short))
        short, long = sorted(image.size)
    if short != resolution:
        wide = int(resolution * long / short)
        size = (resolution, wide) if image.width == short else (wide, resolution)
        image = image.resize(size, Image.Resampling.BICUBIC)
    return image if image.size == (resolution, resolution) else _centre(image, resolution, resolution)


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
