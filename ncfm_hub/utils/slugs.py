"""Turn any text into a name for folders and repositories."""

import hashlib
import re
import unicodedata


def slug(text: str) -> str:
    """Return `text` as a valid repository name: letters, digits, `.`, `_`, `-`; no `--` or `..`, no mark at the ends.

    Accents are dropped and other characters become `-`; an empty result becomes `dataset`. If letters of other scripts
    are lost, digits of the text's digest are appended, so that different texts keep different names.
    """
    letters = unicodedata.normalize("NFKD", text)
    plain = letters.encode("ascii", "ignore").decode()
    dashed = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)
    joined = re.sub(r"([.-])[.-]+", r"\1", dashed)
    name = joined.removesuffix(".git").strip(".-_") or "dataset"
    if all(letter.isascii() or not letter.isalnum() for letter in letters):
        return name
    return f"{name}-{hashlib.sha256(letters.encode()).hexdigest()[:8]}"
