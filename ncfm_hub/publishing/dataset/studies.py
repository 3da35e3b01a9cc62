"""Studies of a set whose files lie in its folder: each says of which images it is, and others are not shown there."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from ncfm_hub.publishing.dataset.layout import CONTINUAL, SEARCH

_STEMS = "|".join(Path(name).stem for name in (CONTINUAL, SEARCH))
_FILE = re.compile(rf"((?:{_STEMS})(?:-\d+)?)\.(?:json|md|png)")  # an earlier study is kept under a number


def why_not_of(digest: str, stated: str | None) -> str | None:
    """Why a study that states the images `stated` is none of those of `digest`; None where it is."""
    if stated == digest:
        return None
    return "it is of other images" if stated else "it does not say of which images it is; make it anew"


def study_files(names: Iterable[str]) -> dict[str, str]:
    """Those of `names` that belong to a study, earlier ones included, with the name of its JSON."""
    found = ((name, _FILE.fullmatch(name)) for name in names)
    return {name: f"{match[1]}.json" for name, match in found if match}


def not_of_the_set(folder: Path, digest: str) -> dict[str, str]:
    """Files in `folder` of studies that are of other images than those of `digest`, with the reason."""
    files = study_files(path.name for path in folder.iterdir())
    reasons = {name: why_not_of(digest, _stated(folder / name)) for name in set(files.values())}
    return {name: reason for name, study in sorted(files.items()) if (reason := reasons[study])}


def _stated(path: Path) -> str | None:
    """The digest that a study's JSON gives; None where it gives none or cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    stated = content.get("images_sha256") if isinstance(content, dict) else None
    return stated if isinstance(stated, str) else None
