"""Default names of repositories."""

from ncfm_hub.utils.slugs import slug as slug

LONGEST_REPO_ID = 96  # limit of the Hub, owner included


def default_repo_name(pipeline_name: str, ipc: int, *, imported: bool = False) -> str:
    """Return `<pipeline>-ncfm-ipc<N>`, without the owner; `<pipeline>-imported-ipc<N>` for an imported dataset."""
    return f"{slug(pipeline_name)}-{'imported' if imported else 'ncfm'}-ipc{ipc}"


def default_repo_id(user: str, pipeline_name: str, ipc: int) -> str:
    """Return `<user>/<pipeline>-ncfm-ipc<N>`, with the pipeline's name shortened to the Hub's limit."""
    room = LONGEST_REPO_ID - len(f"{user}/-ncfm-ipc{ipc}")
    return f"{user}/{default_repo_name(slug(pipeline_name)[: max(room, 1)], ipc)}"
