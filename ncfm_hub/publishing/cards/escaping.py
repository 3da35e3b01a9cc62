"""Escape untrusted text for Markdown: class names, licences, citations and notes are data, never markup.

Everything that a card template prints is escaped unless it is `Ready` (see `templates`), so no template can forget it.
"""

import json
import re
import unicodedata
from typing import Any
from urllib.parse import quote

LONGEST = 200  # characters of a value on a card
LONGEST_BLOCK = 5000
LONGEST_ADDRESS = 1000

# Escaped as entities, which are neither HTML nor Markdown. `_` between letters is safe: no emphasis there.
_SPECIAL = re.compile(r"[&<>`|\[\]*\\~$]|(?<!\w)_|_(?!\w)")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


class Ready(str):
    """Markdown that is safe to print unchanged."""


def inline(value: Any, longest: int = LONGEST) -> Ready:
    """Return `value` as one line without markup, cut at `longest` characters."""
    if isinstance(value, Ready):
        return value
    return Ready(_SPECIAL.sub(lambda found: f"&#{ord(found.group())};", plain(value, longest)))


def plain(value: Any, longest: int = LONGEST) -> str:
    """Return `value` as one line without bidirectional controls, cut but not escaped."""
    text = " ".join("".join(_visible(character) for character in str(value)).split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def code(value: Any) -> Ready:
    """Return a code span if the text is safe in one, else `inline`."""
    text = str(value)
    harmless = len(text) <= LONGEST and re.fullmatch(r"[\w./:+=, -]*[\w./+=-]", text, re.ASCII)
    return Ready(f"`{text}`") if harmless else inline(text)


def fenced(value: Any, language: str = "") -> Ready:
    """Return `value` as a fenced block that it cannot close."""
    kept = "".join(c if c == "\n" else _visible(c) for c in str(value)[:LONGEST_BLOCK].replace("\r\n", "\n"))
    kept = kept.replace("<!--", "<! --").replace("-->", "-- >")  # a card's own markers are comments
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", kept)), default=0))
    return Ready(f"{fence}{language}\n{kept.strip()}\n{fence}")


def literal(value: str) -> Ready:
    """Return a Python string literal, for code that people copy."""
    return Ready(json.dumps(value).replace("`", "\\u0060"))


def web_address(value: Any) -> str | None:
    """Return `value` if it is an http(s) URL, percent-encoded wherever it could end a link; else None."""
    text = str(value).strip()
    if len(text) > LONGEST_ADDRESS or not re.fullmatch(r"https?://[^\s/]\S*", text, re.IGNORECASE):
        return None
    return quote(text, safe="/:?#@!&=+,%", errors="replace")


def link(address: str) -> Ready:
    """Return the result of `web_address` as a link that shows its target."""
    return Ready(f"<{address}>")


def _visible(character: str) -> str:
    if character in _BIDI:
        return ""
    return " " if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") else character
