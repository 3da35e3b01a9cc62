"""Local folders: what published files state in place of their paths, and how to find them again.

A published file contains a folder's name and a digest of its content. Where that content was last seen is stored only
in the user's cache, so that no third-party file decides which folder is opened.
"""

import hashlib
import json
import re
from pathlib import Path

from ncfm_hub.utils.files import cache_root, sha256_file, write_json

# Placeholders for folders that are not on this machine; never opened.
LOCAL_SOURCE, LOCAL_WEIGHTS = "local-folder:", "local-weights:"
_WEIGHTS_ELSEWHERE = re.compile(r"[\w.-]+|hf[-_]hub:[\w.-]+/[\w.-]+(@[\w.-]+)?")


def remember(digest: str, folder: str | Path) -> None:
    """Remember where content with this digest is."""
    write_json(_entry(digest), {"digest": digest, "folder": str(Path(folder).resolve())})


def recall(digest: object) -> Path | None:
    """Return the folder where content with this digest was last seen, if it still exists."""
    if not isinstance(digest, str):
        return None
    try:
        kept = json.loads(_entry(digest).read_text(encoding="utf-8"))
        folder = Path(kept["folder"]) if kept["digest"] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if folder and folder.is_dir() else None


def _entry(digest: str) -> Path:
    return cache_root() / "places" / f"{hashlib.sha256(digest.encode()).hexdigest()[:32]}.json"


def folder_name(folder: str | Path) -> str:
    """Return a folder's name without its parents."""
    return Path(folder).expanduser().resolve().name or "folder"


def weights_folder(pretrained: str | None) -> Path | None:
    """Return the folder of weights in timm's notation `local-dir:folder`; None for other weights."""
    kind, _, place = (pretrained or "").partition(":")
    return Path(place) if kind.lower() == "local-dir" else None


def weights_digest(folder: Path) -> str:
    """Return a digest of the names and contents of a folder's files, since the content of a path may change."""
    files = [(path.name, sha256_file(path)) for path in sorted(folder.glob("*")) if path.is_file()]
    return f"sha256:{hashlib.sha256(json.dumps(files).encode()).hexdigest()}"


def public_weights(pretrained: str | None) -> str | None:
    """Return the published form of weights: for a folder, its name and digest."""
    folder = weights_folder(pretrained)
    return pretrained if folder is None else f"{LOCAL_WEIGHTS}{folder_name(folder)}@{weights_digest(folder)}"


def weights_here(published: object) -> str | None:
    """Resolve weights named in a published file: those of a folder only if this machine knows it.

    Unresolved weights are returned in their published form, which can be shown but not opened.
    """
    if published is None:
        return None
    text = str(published)
    if text.startswith(LOCAL_WEIGHTS):
        folder = recall(text.rpartition("@")[2])
        return text if folder is None else f"local-dir:{folder}"
    return text if _WEIGHTS_ELSEWHERE.fullmatch(text) else f"{LOCAL_WEIGHTS}{Path(text).name}"
