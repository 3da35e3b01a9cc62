"""Validate names. Every name from a client is checked here before it is stored or used in a path."""

import re

from ncfm_hub.localhub.replies import HubError

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}

_SEGMENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RESERVED = {"api", *KINDS}


def _is_segment(text: str) -> bool:
    return bool(_SEGMENT.fullmatch(text)) and "--" not in text and ".." not in text and not text.endswith(".git")


def user_name(text: str) -> str:
    """Validate a user's name, which is also the namespace of their repositories."""
    if not _is_segment(text) or text.lower() in _RESERVED:
        raise HubError(400, f"Invalid user name: {text!r} (letters, digits, '-', '_' and '.'; at most 96)")
    return text


def repo_name(text: str) -> str:
    """Validate the part of a repository id after the slash."""
    if not _is_segment(text):
        raise HubError(400, f"Invalid repository name: {text!r} (letters, digits, '-', '_' and '.'; at most 96)")
    return text


def file_path(text: str) -> str:
    """Validate a file's path in a repository: relative, slash-separated, and never leaving its folder."""
    parts = text.split("/")
    if len(text.encode()) > 1024 or _CONTROL.search(text) or "\\" in text or ":" in parts[0]:
        raise HubError(400, f"Invalid path: {text!r}")
    for part in parts:
        if part in ("", ".", "..") or part.lower() == ".git" or len(part.encode()) > 255:
            raise HubError(400, f"Invalid path: {text!r}")
    return text


def ref_name(text: str) -> str:
    """Validate the name of a new branch or tag."""
    bad_part = any(part.startswith(".") or part.endswith((".", ".lock")) or not part for part in text.split("/"))
    taken = text.startswith("refs/") or re.fullmatch(r"[0-9a-f]{40}", text)  # would hide another revision
    if not _REF.fullmatch(text) or ".." in text or bad_part or taken:
        raise HubError(400, f"Invalid reference name: {text!r}")
    return text


def sha256(text: str) -> str:
    """Validate a SHA-256 or Xet hash (both 32 bytes); returns it in lower-case hex."""
    if not _SHA256.fullmatch(text):
        raise HubError(400, f"Invalid hash: {text[:80]!r}")
    return text
