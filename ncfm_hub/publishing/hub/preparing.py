"""Decide what the commit of a push does, from the folder and the current state of the repository."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ncfm_hub.publishing.cards.dataset_card import Rendered
from ncfm_hub.publishing.cards.merging import merge_cards
from ncfm_hub.publishing.cards.pool_card import pool_card
from ncfm_hub.publishing.dataset.layout import CARD, PLOT
from ncfm_hub.publishing.hub.card import card_of_push
from ncfm_hub.publishing.hub.changes import Changes, changes_of
from ncfm_hub.publishing.hub.held import Held
from ncfm_hub.publishing.hub.job import PushJob
from ncfm_hub.publishing.hub.operations import operations_of
from ncfm_hub.publishing.hub.permission import check_visibility
from ncfm_hub.publishing.hub.remote import MARK, Remote
from ncfm_hub.publishing.hub.target import Target

if TYPE_CHECKING:
    from ncfm_hub.publishing.hub.operations import Operation


@dataclass(frozen=True)
class ReadyCommit:
    """A commit before it is sent.

    made: its card
    replaced: names of what is there already, with other images
    """

    target: Target
    made: Rendered
    operations: "list[Operation]"
    changes: Changes
    replaced: list[str | None]


def prepare(job: PushJob, target: Target) -> ReadyCommit:
    """Return what to send, after the checks that need the repository's current state."""
    remote = target.remote
    check_visibility(remote, job.repo_id, job.private)
    remote.check_ours_to_write(job.checked.held, {*job.checked.files, CARD, PLOT})
    same = {name for name in job.checked.held if _same_images(job, remote, name)}
    for name, held in job.checked.held.items():
        _check_replacing(job, remote, name, held, name in same)
    made = _merged_card(job, remote)
    operations = operations_of(job.checked, remote, made, same)
    changes = changes_of(operations, remote)
    target.check_tag(job.commit, None if changes else remote.head)
    replaced = [name for name in job.checked.held if remote.holds(name) and name not in same]
    return ReadyCommit(target, made, operations, changes, replaced)


def _same_images(job: PushJob, remote: Remote, name: str | None) -> bool:
    """Return whether the repository holds the images that are pushed under `name`, or nothing there."""
    mark = MARK[job.repo_type]
    local = job.checked.files[f"{name}/{mark}" if name else mark]
    key = remote.key(name)
    return not remote.holds(name) or remote.has(f"{key}/{mark}" if key else mark, local)


def _check_replacing(job: PushJob, remote: Remote, name: str | None, held: Held, same: bool) -> None:
    command = replace(job, replace=True).command
    remote.check_source(name, held)
    if not job.replace:
        remote.check_same(name, held, f"with: {command}")
        if not same:
            remote.check_asked(name, held, f"with: {command}")


def replaced_notes(job: PushJob, remote: Remote, name: str | None) -> list[str]:
    """Return notes on what the push replaces; nothing is replaced silently."""
    coming, before, called = job.checked.held[name], remote.held(name), name or "pool"
    said = [f"the header of {CARD} in {job.repo_id} could not be read, and is written anew"] if remote.damage else []
    if remote.holds_another(name, coming):
        said.append(f"{job.repo_id} held {before or 'what did not say what it is of'}; it was replaced by {coming}")
    else:
        changes = before.changes(coming) if before else ""
        said.append(f"{job.repo_id} held the same {called} made before, which was replaced ({changes or 'made anew'})")
    if remote.holds_another(name, coming) and (stay := remote.not_ours(job.checked.files)):
        said.append(f"files that users added to {job.repo_id} stay: {', '.join(stay)}")
    return said


def _merged_card(job: PushJob, remote: Remote) -> Rendered:
    if job.repo_type == "dataset":
        return card_of_push(job.api, job.checked, remote, job.default)
    local = pool_card(job.checked.root, repo_id=job.repo_id)
    of_another = remote.holds_another(None, job.checked.held[None])
    return Rendered(merge_cards(local, remote.card, of_another=of_another) if remote.card else local, None)
