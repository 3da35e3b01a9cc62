"""Push a folder in one commit, with retries while the Hub is busy, and verify it by reading it back.

By `create_commit`, not `upload_folder`: that one takes every file from the folder, where the merged card is only after
the push; splits large folders into several commits; and its `delete_patterns` are globs, so `train-*.parquet` would
also delete a user's `train-x/mine.parquet`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ncfm_hub.errors import NcfmHubError, PublishError
from ncfm_hub.publishing.cards.dataset_card import Rendered, read_card, write_card, write_rendered
from ncfm_hub.publishing.cards.header import generated_configs
from ncfm_hub.publishing.cards.merging import Card, merge_cards
from ncfm_hub.publishing.cards.pool_card import write_pool_card
from ncfm_hub.publishing.dataset.conversion import convert
from ncfm_hub.publishing.dataset.layout import CARD, PLOT
from ncfm_hub.publishing.hub.card import card_of_push
from ncfm_hub.publishing.hub.checking import Checked, check_folder
from ncfm_hub.publishing.hub.failing import ending_with, push_command
from ncfm_hub.publishing.hub.held import Held
from ncfm_hub.publishing.hub.loaded_images import check_loaded_images
from ncfm_hub.publishing.hub.operations import operations_of
from ncfm_hub.publishing.hub.permission import check_can_push as check_can_push  # re-exported: called before a push
from ncfm_hub.publishing.hub.permission import check_visibility
from ncfm_hub.publishing.hub.reading_back import PushedCommit, check_files
from ncfm_hub.publishing.hub.remote import MARK, Remote, look_at
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.files import write_text
from ncfm_hub.utils.hub_client import RepoType, client, with_retries, without_bars
from ncfm_hub.utils.progress import Progress, Silent

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Pushed:
    """Where a folder was pushed. revision: the commit, 40 hex digits."""

    repo_id: str
    url: str
    revision: str


@dataclass(frozen=True)
class _Job:
    """A push. asked: the folder as the user named it, of one distilled dataset or of all"""

    api: "HfApi"
    asked: Path
    checked: Checked
    repo_id: str
    repo_type: RepoType
    private: bool
    replace: bool
    default: str | None

    @property
    def command(self) -> str:
        """The command that pushes the same."""
        return push_command(self.asked, self.repo_id, private=self.private, replace=self.replace, default=self.default)


@dataclass(frozen=True)
class _Sent:
    """A finished commit.

    card, plot: as committed
    revision: the commit
    notes: what happened to existing files
    """

    card: Card
    plot: bytes | None
    revision: str
    notes: list[str]


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    replace: bool = False,
    default: str | None = None,
    token: str | None = None,
    repo_type: RepoType = "dataset",
    progress: Progress | None = None,
) -> Pushed:
    """Publish distilled datasets (or a pool, as a model repository) in one commit, and compare what arrived.

    folder: with all of them, or that of one
    repo_id: owner/name

    Other distilled datasets in the repository stay, and are on the card. Files that users added stay, files of an
    earlier push about other images are removed, and a person's changes to the card on the Hub are merged. A repository
    with a dataset of another source or IPC under the same name is refused, and so is an earlier version; with `replace`
    everything under that name is replaced.

    private: create the repository as private
    default: the distilled dataset that is loaded where none is named; default: that of the repository
    Raises PublishError: for an invalid folder, before anything is uploaded, and for a failed push, ending with the
        command that resumes it. The folder is left unchanged then. ReplaceNeeded if an earlier version is there.
    """
    progress = progress or Silent()
    if repo_type == "dataset" and folder.is_dir():
        folder = _of_present_layout(folder, progress)
    checked = _checked(folder, repo_type, progress)
    job = _Job(client(token), folder, checked, repo_id, repo_type, private, replace, default)
    with without_bars():
        with ending_with(f"{folder} is whole, push it again with: {job.command}", repo_id, token):
            _name_in_card(job)
            sent = with_retries(lambda: _commit(job), what=f"pushing to {repo_id}", progress=progress)
        for note in (*sent.notes, f"reading {repo_id} back"):
            progress.note(note)
        published = f"{repo_id} is published at revision {sent.revision}"
        with ending_with(f"{published}, compare it again with: {job.command}", repo_id, token):
            found = with_retries(lambda: _read_back(job, sent), what=f"reading {repo_id} back", progress=progress)
            progress.note(f"checked: {found}")
            _keep_card(job, sent)
    kind = "datasets/" if repo_type == "dataset" else ""
    return Pushed(repo_id, f"{job.api.endpoint}/{kind}{repo_id}", sent.revision)


def _of_present_layout(folder: Path, progress: Progress) -> Path:
    """Return `folder`, converted if it has the former layout."""
    try:
        convert(folder, progress)
    except NcfmHubError as error:
        raise PublishError(f"{error}; nothing was pushed", again=False) from error
    return folder


def _checked(folder: Path, repo_type: RepoType, progress: Progress) -> Checked:
    try:
        checked = check_folder(folder, repo_type)
    except NcfmHubError as error:
        raise PublishError(f"{error}; nothing was pushed", again=False) from error
    for path, reason in checked.left_out.items():
        progress.note(f"{path} is not pushed: {reason}")
    return checked


def _name_in_card(job: _Job) -> None:
    """Write the repository's id into the folder's card."""
    if job.repo_type == "model":
        write_pool_card(job.checked.root, repo_id=job.repo_id)
    else:
        default = job.default if job.default in job.checked.held else None
        write_card(job.checked.root, repo_id=job.repo_id, default=default)


def _commit(job: _Job) -> _Sent:
    """Make one attempt, based on the repository's current state."""
    remote = look_at(job.api, job.repo_id, job.repo_type) or _create(job)
    check_visibility(remote, job.repo_id, job.private)
    remote.check_ours_to_write(job.checked.held, {*job.checked.files, CARD, PLOT})
    same = {name for name in job.checked.held if _same_images(job, remote, name)}
    for name, held in job.checked.held.items():
        _check_replacing(job, remote, name, held, name in same)
    made = _merged_card(job, remote)
    done = job.api.create_commit(
        job.repo_id,
        operations_of(job.checked, remote, made, same),
        repo_type=job.repo_type,
        commit_message="Upload with ncfm-hub",
        parent_commit=remote.head,  # a concurrent commit gives 412: read and merge again
    )
    replaced = [name for name in job.checked.held if remote.holds(name) and name not in same]
    notes = [note for name in replaced for note in _replaced(job, remote, name)]
    return _Sent(made.card, made.plot, str(done.oid), notes)


def _same_images(job: _Job, remote: Remote, name: str | None) -> bool:
    """Return whether the repository holds the images that are pushed under `name`, or nothing there."""
    mark = MARK[job.repo_type]
    local = job.checked.files[f"{name}/{mark}" if name else mark]
    key = remote.key(name)
    return not remote.holds(name) or remote.has(f"{key}/{mark}" if key else mark, local)


def _check_replacing(job: _Job, remote: Remote, name: str | None, held: Held, same: bool) -> None:
    command = replace(job, replace=True).command
    remote.check_source(name, held)
    if not job.replace:
        remote.check_same(name, held, f"with: {command}")
        if not same:
            remote.check_asked(name, held, f"with: {command}")


def _replaced(job: _Job, remote: Remote, name: str | None) -> list[str]:
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


def _create(job: _Job) -> Remote:
    job.api.create_repo(
        job.repo_id, repo_type=job.repo_type, visibility="private" if job.private else None, exist_ok=True
    )
    made = look_at(job.api, job.repo_id, job.repo_type)
    if made is None:
        raise PublishError(f"{job.repo_id} was made but cannot be seen")
    return made


def _merged_card(job: _Job, remote: Remote) -> Rendered:
    if job.repo_type == "dataset":
        return card_of_push(job.api, job.checked, remote, job.default)
    local = read_card(job.checked.root)
    assert local is not None  # just written
    of_another = remote.holds_another(None, job.checked.held[None])
    return Rendered(merge_cards(local, remote.card, of_another=of_another) if remote.card else local, None)


def _keep_card(job: _Job, sent: _Sent) -> None:
    """Write the card as committed into the folder, reduced to the distilled datasets that are there."""
    local = read_card(job.checked.root)
    if local is None or generated_configs(local.header) == generated_configs(sent.card.header):
        write_rendered(job.checked.root, Rendered(sent.card, sent.plot))
    else:
        write_text(job.checked.root / CARD, merge_cards(local, sent.card).text())


def _read_back(job: _Job, sent: _Sent) -> str:
    """Compare the commit with what was pushed; returns what was compared."""
    files = job.checked.files | {CARD: sent.card.text().encode()} | ({PLOT: sent.plot} if sent.plot else {})
    commit = PushedCommit(job.api, job.repo_id, job.repo_type, sent.revision)
    check_files(commit, files)
    found = f"{counted(len(files), 'file')} by SHA-256"
    if job.repo_type == "model":
        return found
    images = check_loaded_images(commit, job.checked.root, [name for name in job.checked.held if name])
    return f"{found}, {counted(images, 'image')} as load_dataset gives them"
