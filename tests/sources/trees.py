"""Folders of small images, laid out as people lay out theirs."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.sources.small_images import plain_image


def tree(folder: Path, files: Iterable[str], texts: Mapping[str, str] | None = None) -> Path:
    """Write an image at each path, no two alike in all pixels, and a text at each path of `texts`."""
    for number, name in enumerate(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plain_image(number))
    for name, text in (texts or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def several(folder: str, count: int) -> list[str]:
    """`count` paths of images in a folder."""
    return [f"{folder}/{number}.png" for number in range(count)]
