"""Names of repositories on a Hub."""

from ncfm_hub.utils.slugs import slug as slug

LONGEST_REPO_ID = 96  # what the Hub takes, owner included


def default_repo_name(pipeline_name: str, ipc: int, *, imported: bool = False) -> str:
    """`<pipeline>-ncfm-ipc<N>`, without its owner; `<pipeline>-imported-ipc<N>` for a set that others made."""
    return f"{slug(pipeline_name)}-{'imported' if imported else 'ncfm'}-ipc{ipc}"


def default_repo_id(user: str, pipeline_name: str, ipc: int) -> str:
    """`<user>/<pipeline>-ncfm-ipc<N>`, the pipeline's name shortened where the Hub would refuse the length."""
    room = LONGEST_REPO_ID - len(f"{user}/-ncfm-ipc{ipc}")
    return f"{user}/{default_repo_name(slug(pipeline_name)[: max(room, 1)], ipc)}"
