"""Studies stored in a dataset's folder. Each records a digest of its images; studies of other images are not shown."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from ncfm_hub.publishing.dataset.layout import CONTINUAL, SEARCH

_STEMS = "|".join(Path(name).stem for name in (CONTINUAL, SEARCH))
_FILE = re.compile(rf"((?:{_STEMS})(?:-\d+)?)\.(?:json|md|png)")  # earlier studies are numbered


def why_not_of(digest: str, stated: str | None) -> str | None:
    """Return why a study with digest `stated` does not belong to the images with `digest`; None if it does."""
    if stated == digest:
        return None
    return "it is of other images" if stated else "it does not say of which images it is; make it anew"


def study_files(names: Iterable[str]) -> dict[str, str]:
    """Return the files among `names` that belong to a study, earlier ones included, with the name of its JSON."""
    found = ((name, _FILE.fullmatch(name)) for name in names)
    return {name: f"{match[1]}.json" for name, match in found if match}


def not_of_the_set(folder: Path, digest: str) -> dict[str, str]:
    """Return the files in `folder` of studies of other images, with the reason."""
    files = study_files(path.name for path in folder.iterdir())
    reasons = {name: why_not_of(digest, _stated(folder / name)) for name in set(files.values())}
    return {name: reason for name, study in sorted(files.items()) if (reason := reasons[study])}


def _stated(path: Path) -> str | None:
    """Return the digest in a study's JSON; None if there is none or it is unreadable."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    stated = content.get("images_sha256") if isinstance(content, dict) else None
    return stated if isinstance(stated, str) else None
