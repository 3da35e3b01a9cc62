"""What the commit of a push adds, moves and deletes."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from ncfm_hub.publishing.cards.dataset_card import Rendered
from ncfm_hub.publishing.dataset.conversion import new_paths
from ncfm_hub.publishing.dataset.layout import CARD, PLOT
from ncfm_hub.publishing.hub.checking import Checked
from ncfm_hub.publishing.hub.remote import Remote

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    Operation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete


def operations_of(checked: Checked, remote: Remote, made: Rendered, same: Collection[str | None]) -> "list[Operation]":
    """Return the operations of a commit on the repository's current state.

    made: the card, and its plot if any
    same: of what is pushed, the names under which the repository holds the same images, or nothing
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    added: dict[str, bytes | str] = {name: str(path) for name, path in checked.files.items()}
    added[CARD] = made.card.text().encode()
    if made.plot:
        added[PLOT] = made.plot
    gone = {file for name in checked.held for file in remote.left_over(name, checked.files, name in same)}
    if remote.ours and remote.repo_type == "dataset":
        gone |= {PLOT} & remote.files.keys()
    moved = _moved(checked, remote, same)
    return [
        *(CommitOperationAdd(name, content) for name, content in added.items()),
        *(CommitOperationCopy(before, now) for before, now in moved.items() if now and now not in added),
        *(CommitOperationDelete(name, is_folder=False) for name in sorted((gone | moved.keys()) - added.keys())),
    ]


def _moved(checked: Checked, remote: Remote, same: Collection[str | None]) -> dict[str, str | None]:
    """Return where the files of a dataset of the former layout go; None for those that are deleted."""
    name = remote.former_name
    if name is None or (name in checked.held and name not in same):
        return dict.fromkeys(remote.former_files)
    return dict(new_paths(remote.former_files, name))
