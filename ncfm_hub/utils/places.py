"""Folders on this machine: what published files say of them in place of a path, and how they are found again.

A published file has a folder's name and a digest of its content. Where content of that digest was last seen lies in the
user's cache, and in nothing that others write: so no file of theirs decides which folder is opened.
"""

import hashlib
import json
import re
from pathlib import Path

from ncfm_hub.utils.files import cache_root, sha256_file, write_json

# What stands for a folder that is not on this machine; neither is ever opened.
LOCAL_SOURCE, LOCAL_WEIGHTS = "local-folder:", "local-weights:"
_WEIGHTS_ELSEWHERE = re.compile(r"[\w.-]+|hf[-_]hub:[\w.-]+/[\w.-]+(@[\w.-]+)?")


def remember(digest: str, folder: str | Path) -> None:
    """Keep where content of this digest is."""
    write_json(_entry(digest), {"digest": digest, "folder": str(Path(folder).resolve())})


def recall(digest: object) -> Path | None:
    """The folder in which content of this digest was last seen on this machine, if it is still there."""
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
    """What a folder is called, without what it lies in."""
    return Path(folder).expanduser().resolve().name or "folder"


def weights_folder(pretrained: str | None) -> Path | None:
    """The folder of weights `local-dir:folder`, as timm reads it; None for weights of another kind."""
    kind, _, place = (pretrained or "").partition(":")
    return Path(place) if kind.lower() == "local-dir" else None


def weights_digest(folder: Path) -> str:
    """Digest of the names and contents of a folder's files: what lies under one path may change."""
    files = [(path.name, sha256_file(path)) for path in sorted(folder.glob("*")) if path.is_file()]
    return f"sha256:{hashlib.sha256(json.dumps(files).encode()).hexdigest()}"


def public_weights(pretrained: str | None) -> str | None:
    """Weights as published files name them: those of a folder by its name and digest."""
    folder = weights_folder(pretrained)
    return pretrained if folder is None else f"{LOCAL_WEIGHTS}{folder_name(folder)}@{weights_digest(folder)}"


def weights_here(published: object) -> str | None:
    """Weights that a published file names, which may be anyone's: those of a folder only where this machine has them.

    What is not found is given back in its published form, which can be told of and not opened.
    """
    if published is None:
        return None
    text = str(published)
    if text.startswith(LOCAL_WEIGHTS):
        folder = recall(text.rpartition("@")[2])
        return text if folder is None else f"local-dir:{folder}"
    return text if _WEIGHTS_ELSEWHERE.fullmatch(text) else f"{LOCAL_WEIGHTS}{Path(text).name}"
