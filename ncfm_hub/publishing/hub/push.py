"""Push a folder in one commit, with retries while the Hub is busy, and verify it by reading it back.

By `create_commit`, not `upload_folder`: that one takes every file from the folder, where the merged card is only after
the push; splits large folders into several commits; and its `delete_patterns` are globs, so `train-*.parquet` would
also delete a user's `train-x/mine.parquet`.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ncfm_hub.errors import NcfmHubError, PublishError
from ncfm_hub.publishing.cards.dataset_card import write_card
from ncfm_hub.publishing.cards.merging import merge_cards, parse_card
from ncfm_hub.publishing.cards.pool_card import write_pool_card
from ncfm_hub.publishing.dataset.layout import CARD
from ncfm_hub.publishing.hub.checking import Checked, check_folder
from ncfm_hub.publishing.hub.failing import ending_with, push_command
from ncfm_hub.publishing.hub.permission import check_can_push as check_can_push  # re-exported: called before a push
from ncfm_hub.publishing.hub.permission import check_visibility
from ncfm_hub.publishing.hub.remote import MARK, Remote, downloaded, look_at
from ncfm_hub.utils.files import sha256_file, write_text
from ncfm_hub.utils.hub_client import RepoType, client, with_retries, without_bars
from ncfm_hub.utils.progress import Progress, Silent

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_PATHS_AT_ONCE = 500  # the Hub answers 413 to more than 1,000


@dataclass(frozen=True)
class Pushed:
    """Where a folder was pushed. revision: the commit, 40 hex digits."""

    repo_id: str
    url: str
    revision: str


@dataclass(frozen=True)
class _Job:
    api: "HfApi"
    folder: Path
    checked: Checked
    repo_id: str
    repo_type: RepoType
    private: bool
    replace: bool

    @property
    def planned(self) -> set[str]:
        """Names of the files that the push will write."""
        return {CARD, *self.checked.files}


@dataclass(frozen=True)
class _Sent:
    """A finished commit.

    card: as committed
    revision: the commit
    notes: what happened to existing files
    """

    card: str
    revision: str
    notes: list[str]


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    replace: bool = False,
    token: str | None = None,
    repo_type: RepoType = "dataset",
    progress: Progress | None = None,
) -> Pushed:
    """Validate `folder`, upload its files and read them back; hidden files and studies of other images are left out.

    Creates the repository if necessary. Files that others added stay, files of an earlier push about other images are
    removed, and a person's changes to the card on the Hub are merged into the folder's card. A repository with another
    dataset is refused; with `replace`, everything of that dataset is removed.

    private: create the repository as private
    Raises PublishError: for an invalid folder, before anything is uploaded, and for a failed push, ending with the
        command
    that resumes it. The folder is left unchanged then.
    """
    progress = progress or Silent()
    job = _Job(client(token), folder, _checked(folder, repo_type, progress), repo_id, repo_type, private, replace)
    command = push_command(folder, repo_id, private=private, replace=replace)
    with without_bars():
        with ending_with(f"{folder} is whole, push it again with: {command}", repo_id, token):
            _name_in_card(job)
            sent = with_retries(lambda: _commit(job), what=f"pushing to {repo_id}", progress=progress)
        for note in (*sent.notes, f"reading {repo_id} back"):
            progress.note(note)
        published = f"{repo_id} is published at revision {sent.revision}"
        with ending_with(f"{published}, compare it again with: {command}", repo_id, token):
            with_retries(lambda: _compare(job, sent), what=f"reading {repo_id} back", progress=progress)
            write_text(folder / CARD, sent.card)  # keeps folder and repository identical
    kind = "datasets/" if repo_type == "dataset" else ""
    return Pushed(repo_id, f"{job.api.endpoint}/{kind}{repo_id}", sent.revision)


def _checked(folder: Path, repo_type: RepoType, progress: Progress) -> Checked:
    try:
        checked = check_folder(folder, repo_type)
    except NcfmHubError as error:
        raise PublishError(f"{error}; nothing was pushed", again=False) from error
    for name, reason in checked.left_out.items():
        progress.note(f"{folder / name} is not pushed: {reason}")
    return checked


def _name_in_card(job: _Job) -> None:
    """Write the repository's id into the folder's card."""
    write = write_pool_card if job.repo_type == "model" else write_card
    write(job.folder, repo_id=job.repo_id)


def _commit(job: _Job) -> _Sent:
    """Make one attempt, based on the repository's current state."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    remote = look_at(job.api, job.repo_id, job.repo_type) or _create(job)
    check_visibility(remote, job.repo_id, job.private)
    remote.check_ours_to_write(job.planned)
    if not job.replace:
        command = push_command(job.folder, job.repo_id, private=job.private, replace=True)
        remote.check_same(job.checked.held, f"with: {command}")
    card = _merged_card(job, remote)
    same_images = not remote.ours or remote.has(MARK[job.repo_type], job.checked.files)
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(CARD, card.encode()),
        *(CommitOperationAdd(name, str(path)) for name, path in job.checked.files.items()),
        *(CommitOperationDelete(name, is_folder=False) for name in remote.left_over(job.planned, same_images)),
    ]
    done = job.api.create_commit(
        job.repo_id,
        operations,
        repo_type=job.repo_type,
        commit_message="Upload with ncfm-hub",
        parent_commit=remote.head,  # a concurrent commit gives 412: read and merge again
    )
    return _Sent(card, str(done.oid), [] if same_images else _replaced(job, remote))


def _replaced(job: _Job, remote: Remote) -> list[str]:
    """Return notes on what the push replaces; nothing is replaced silently."""
    coming, before = job.checked.held, remote.held
    said = [f"the header of {CARD} in {job.repo_id} could not be read, and is written anew"] if remote.damage else []
    if remote.holds_another(coming):
        said.append(f"{job.repo_id} held {before or 'what did not say what it is of'}; it was replaced by {coming}")
    else:
        changes = before.changes(coming) if before else ""
        said.append(f"{job.repo_id} held the same made before, which was replaced ({changes or 'made anew'})")
    if remote.holds_another(coming) and (stay := remote.not_ours(job.planned)):
        said.append(f"files that users added to {job.repo_id} stay: {', '.join(stay)}")
    return said


def _create(job: _Job) -> Remote:
    job.api.create_repo(
        job.repo_id, repo_type=job.repo_type, visibility="private" if job.private else None, exist_ok=True
    )
    made = look_at(job.api, job.repo_id, job.repo_type)
    if made is None:
        raise PublishError(f"{job.repo_id} was made but cannot be seen")
    return made


def _merged_card(job: _Job, remote: Remote) -> str:
    path = job.folder / CARD
    text = path.read_text(encoding="utf-8")
    if remote.card is None:
        return text
    of_another = remote.holds_another(job.checked.held)
    return merge_cards(parse_card(text, str(path)), remote.card, of_another=of_another).text()


def _compare(job: _Job, sent: _Sent) -> None:
    """Compare the commit with what was pushed: large files by the SHA-256 that the Hub states, others by content."""
    digests = {CARD: sha256(sent.card.encode()).hexdigest()}
    digests |= {name: sha256_file(path) for name, path in job.checked.files.items()}
    stated = _stated(job, sent.revision)
    at = f"{job.repo_id} at {sent.revision[:12]}"
    for name, expected in digests.items():
        if name not in stated:
            raise PublishError(f"{at} lacks {name}, which was pushed")
        found = stated[name]
        if found is None:
            with downloaded(job.api, job.repo_id, job.repo_type, name, sent.revision) as path:
                found = sha256_file(path)
        if found != expected:
            raise PublishError(f"{name} as read back from {at} is not what was pushed")


def _stated(job: _Job, revision: str) -> dict[str, str | None]:
    """Return the pushed files that the Hub has at `revision`: path -> SHA-256, None for a small file."""
    from huggingface_hub import RepoFile
    from huggingface_hub.utils import chunk_iterable

    entries = [
        entry
        for paths in chunk_iterable(sorted(job.planned), _PATHS_AT_ONCE)
        for entry in job.api.get_paths_info(job.repo_id, list(paths), revision=revision, repo_type=job.repo_type)
    ]
    return {file.path: file.lfs.sha256 if file.lfs else None for file in entries if isinstance(file, RepoFile)}
