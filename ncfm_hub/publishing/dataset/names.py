"""Names of distilled datasets, and default names of repositories."""

import re

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import DIRECTORIES, FORMER_DIRECTORIES
from ncfm_hub.utils.slugs import slug as slug

LONGEST_REPO_ID = 96  # limit of the Hub, owner included
_LONGEST = 60  # of a distilled dataset's name
_RESERVED = {*DIRECTORIES.values(), *FORMER_DIRECTORIES.values()}


def default_name(ipc: int) -> str:
    """Return the default name of a distilled dataset: `ipc<N>`."""
    return f"ipc{ipc}"


def is_name(name: str) -> bool:
    """Return whether `name` can be the directory and configuration of a distilled dataset."""
    usual = len(name) <= _LONGEST and slug(name) == name
    return usual and name.lower() not in _RESERVED and not name.lower().endswith("_stored")


def check_name(name: str) -> str:
    """Return `name`. Raises DistilledError if it cannot name a distilled dataset."""
    if not is_name(name):
        raise DistilledError(
            f"--name {name!r} cannot name a distilled dataset; use letters, digits, '.', '_' and '-', at most "
            f"{_LONGEST}, other than {', '.join(sorted(_RESERVED))} and not ending in _stored"
        )
    return name


def natural_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key by which ipc2 comes before ipc10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts], name


def default_repo_name(pipeline_name: str, *, imported: bool = False) -> str:
    """Return `<pipeline>-ncfm`, without the owner; `<pipeline>-imported` for imported datasets."""
    return f"{slug(pipeline_name)}-{'imported' if imported else 'ncfm'}"


def default_repo_id(user: str, pipeline_name: str) -> str:
    """Return `<user>/<pipeline>-ncfm`, with the pipeline's name shortened to the Hub's limit."""
    room = LONGEST_REPO_ID - len(f"{user}/-ncfm")
    return f"{user}/{default_repo_name(slug(pipeline_name)[: max(room, 1)])}"
