"""Names of repositories on a Hub."""

import re
import unicodedata

LONGEST_REPO_ID = 96  # what the Hub takes, owner included


def slug(text: str) -> str:
    """`text` as a repository name may be spelt: letters, digits, `.`, `_`, `-`; no `--` or `..`, no mark at the ends.

    Accents are dropped, everything else becomes `-`; text of which nothing is left becomes `dataset`.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    dashed = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)
    joined = re.sub(r"([.-])[.-]+", r"\1", dashed)
    return joined.removesuffix(".git").strip(".-_") or "dataset"


def default_repo_name(pipeline_name: str, ipc: int, *, imported: bool = False) -> str:
    """`<pipeline>-ncfm-ipc<N>`, without its owner; `<pipeline>-imported-ipc<N>` for a set that others made."""
    return f"{slug(pipeline_name)}-{'imported' if imported else 'ncfm'}-ipc{ipc}"


def default_repo_id(user: str, pipeline_name: str, ipc: int) -> str:
    """`<user>/<pipeline>-ncfm-ipc<N>`, the pipeline's name shortened where the Hub would refuse the length."""
    room = LONGEST_REPO_ID - len(f"{user}/-ncfm-ipc{ipc}")
    return f"{user}/{default_repo_name(slug(pipeline_name)[: max(room, 1)], ipc)}"
