"""Flip bits, as a failing disk would."""

import re
from pathlib import Path

from tests.machine.test_engine import Notes as Notes


def flip(path: Path, place: int = -4) -> None:
    """The lowest bit of one byte; of the fourth but last it is that of a float's mantissa, where tensors end a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.unlink()  # and not written over: a library may be mapped into this process
    path.write_bytes(content)


def flip_digit(path: Path, of: str) -> None:
    """The last digit of the number that follows the text `of`: what is there is still JSON."""
    found = re.search(of.encode() + rb"[^0-9]*[0-9.]*([0-9])", path.read_bytes())
    assert found
    flip(path, found.start(1))
