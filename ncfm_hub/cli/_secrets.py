"""Keep tokens out of all output."""

import os
import re
import sys

_HIDDEN = "<token>"
_ENVIRONMENT = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SHAPES = (
    (re.compile(r"\bhf_(?:[a-z]+_)?[A-Za-z0-9]{10,}[\w.-]*"), _HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+(?=\S*[\d=])[\w.~+/=-]{8,}"), rf"\1 {_HIDDEN}"),
    (re.compile(r"(https?://)[^\s/@]+@"), rf"\1{_HIDDEN}@"),
)
_given: set[str] = set()


def remember_secret(token: str | None) -> None:
    """Remove `token` from all output from now on."""
    if token:
        _given.add(token)


def scrub(text: str) -> str:
    """Remove all tokens from `text`: given, set or stored ones, and anything that looks like one."""
    for token in sorted(_known(), key=len, reverse=True):
        text = text.replace(token, _HIDDEN)
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def _known() -> set[str]:
    known = {*_given, *(os.environ.get(name, "").strip() for name in _ENVIRONMENT)}
    if "huggingface_hub" in sys.modules:  # otherwise nothing has read the stored token
        from huggingface_hub import get_token

        known.add(get_token() or "")
    return {token for token in known if len(token) >= 4}
