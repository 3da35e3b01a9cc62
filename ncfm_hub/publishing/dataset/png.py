"""Encode and decode PNG."""

from io import BytesIO
from typing import TYPE_CHECKING

from ncfm_hub.errors import DistilledError

if TYPE_CHECKING:
    import numpy as np

_MODES = {1: "L", 3: "RGB"}


def encode_png(image: "np.ndarray") -> bytes:
    """Encode a uint8 image (c, H, W), c = 1 (grey) or 3 (RGB), as PNG."""
    from PIL import Image

    channels = image.shape[0]
    pixels = image[0] if channels == 1 else image.transpose(1, 2, 0)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def decode_png(data: bytes, shape: tuple[int, int, int], what: str) -> "np.ndarray":
    """Decode a PNG of exactly `shape` to uint8 (c, H, W); `what` names it in the DistilledError."""
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (width, height) or picture.mode != _MODES[channels]:
                found = f"{picture.mode} {picture.size[1]} x {picture.size[0]}"
                raise DistilledError(f"{what} is {found}; expected {_MODES[channels]} {height} x {width}")
            pixels = np.asarray(picture)
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:
        raise DistilledError(f"{what} is not a readable PNG ({error})") from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
