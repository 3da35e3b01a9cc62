"""A folder put on a Hub in one commit, tried again when the Hub is busy, read back and compared."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ncfm_hub.errors import NcfmHubError, PublishError
from ncfm_hub.publishing.cards.dataset_card import write_card
from ncfm_hub.publishing.cards.merging import merge_cards, parse_card
from ncfm_hub.publishing.cards.pool_card import write_pool_card
from ncfm_hub.publishing.dataset.layout import CARD
from ncfm_hub.publishing.hub.checking import Checked, check_folder
from ncfm_hub.publishing.hub.failing import ending_with, push_command
from ncfm_hub.publishing.hub.permission import check_can_push as check_can_push  # asked before, found in the same place
from ncfm_hub.publishing.hub.permission import check_visibility
from ncfm_hub.publishing.hub.remote import MARK, Remote, look_at
from ncfm_hub.utils.files import sha256_file, write_text
from ncfm_hub.utils.hub_client import RepoType, client, with_retries, without_bars
from ncfm_hub.utils.progress import Progress, Silent

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Pushed:
    """Where a folder now is. revision: the commit, 40 hex digits."""

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
        """What the repository will hold of this push."""
        return {CARD, *self.checked.files}


@dataclass(frozen=True)
class _Sent:
    """card: as it was committed; revision: the commit; notes: what became of what was there"""

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
    """Check `folder`, put its files (not hidden ones, nor studies of other images) into the repository, read them back.

    The repository is made if need be, private if asked. Files that others put there stay, those that an earlier push
    left about other images go, and what a person changed in the card on the Hub is merged into the folder's card. A
    repository that holds another set is refused; with `replace` nothing of that set stays.
    Raises PublishError, one line: for a folder that could not be loaded, of which nothing is sent, and for a push that
    failed, ending with the command that goes on. The folder is left as it is.
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
            write_text(folder / CARD, sent.card)  # the folder stays what the repository is
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
    """Let the folder's card say where it is going to be found."""
    write = write_pool_card if job.repo_type == "model" else write_card
    write(job.folder, repo_id=job.repo_id)


def _commit(job: _Job) -> _Sent:
    """One attempt, from the repository as it is now."""
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
        parent_commit=remote.head,  # someone else's commit meanwhile is a 412: look again, merge again
    )
    return _Sent(card, str(done.oid), [] if same_images else _replaced(job, remote))


def _replaced(job: _Job, remote: Remote) -> list[str]:
    """What a user should know of what was there, a sentence each: nothing is replaced without a word."""
    coming, before = job.checked.held, remote.held
    said = [f"the header of {CARD} in {job.repo_id} could not be read, and is written anew"] if remote.damage else []
    if remote.holds_another(coming):
        said.append(f"{job.repo_id} held {before or 'what did not say what it is of'}; it was replaced by {coming}")
    else:
        changes = before.changes(coming) if before else ""
        said.append(f"{job.repo_id} held the same made before, which was replaced ({changes or 'made anew'})")
    if remote.holds_another(coming) and (stay := remote.not_ours(job.planned)):
        said.append(f"what others put into {job.repo_id} stays: {', '.join(stay)}")
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
    from huggingface_hub.errors import RemoteEntryNotFoundError

    digests = {CARD: sha256(sent.card.encode()).hexdigest()}
    digests |= {name: sha256_file(path) for name, path in job.checked.files.items()}
    at = f"{job.repo_id} at {sent.revision[:12]}"
    with TemporaryDirectory(prefix="ncfm-hub-") as temporary:
        for name, expected in digests.items():
            try:
                # Downloaded into an empty folder: neither the cache nor the sizes in a listing prove anything.
                got = job.api.hf_hub_download(
                    job.repo_id, name, repo_type=job.repo_type, revision=sent.revision, local_dir=temporary
                )
            except RemoteEntryNotFoundError as error:
                raise PublishError(f"{at} lacks {name}, which was pushed") from error
            if sha256_file(Path(got)) != expected:
                raise PublishError(f"{name} as read back from {at} is not what was pushed")
            Path(got).unlink()
