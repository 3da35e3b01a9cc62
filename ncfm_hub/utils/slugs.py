"""Any text as a name that folders and repositories can have."""

import hashlib
import re
import unicodedata


def slug(text: str) -> str:
    """`text` as a repository name may be spelt: letters, digits, `.`, `_`, `-`; no `--` or `..`, no mark at the ends.

    Accents are dropped, everything else becomes `-`; text of which nothing is left becomes `dataset`. Where letters of
    other scripts are lost a few digits of the text's digest follow, so that other texts get other names.
    """
    letters = unicodedata.normalize("NFKD", text)
    plain = letters.encode("ascii", "ignore").decode()
    dashed = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)
    joined = re.sub(r"([.-])[.-]+", r"\1", dashed)
    name = joined.removesuffix(".git").strip(".-_") or "dataset"
    if all(letter.isascii() or not letter.isalnum() for letter in letters):
        return name
    return f"{name}-{hashlib.sha256(letters.encode()).hexdigest()[:8]}"
