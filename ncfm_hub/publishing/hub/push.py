"""Push a folder in one commit, with retries while the Hub is busy, and verify it by reading it back.

By `create_commit`, not `upload_folder`: that one takes every file from the folder, where the merged card is only after
the push; splits large folders into several commits; and its `delete_patterns` are globs, so `train-*.parquet` would
also delete a user's `train-x/mine.parquet`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ncfm_hub.errors import NcfmHubError, PublishError
from ncfm_hub.publishing.cards.dataset_card import Rendered, read_card, write_card, write_rendered
from ncfm_hub.publishing.cards.header import generated_configs
from ncfm_hub.publishing.cards.merging import Card, merge_cards
from ncfm_hub.publishing.cards.pool_card import write_pool_card
from ncfm_hub.publishing.dataset.conversion import convert
from ncfm_hub.publishing.dataset.layout import CARD, PLOT
from ncfm_hub.publishing.dataset.place import places_in
from ncfm_hub.publishing.hub.changes import Changes
from ncfm_hub.publishing.hub.checking import Checked, check_folder
from ncfm_hub.publishing.hub.failing import ending_with
from ncfm_hub.publishing.hub.job import PushJob
from ncfm_hub.publishing.hub.loaded_images import check_loaded_images
from ncfm_hub.publishing.hub.permission import NOT_BEGUN
from ncfm_hub.publishing.hub.permission import check_can_push as check_can_push  # re-exported: called before a push
from ncfm_hub.publishing.hub.preparing import ReadyCommit, prepare, replaced_notes
from ncfm_hub.publishing.hub.reading_back import PushedCommit, check_files
from ncfm_hub.publishing.hub.remote import Remote
from ncfm_hub.publishing.hub.target import Target, find_target, make_branch, set_tag
from ncfm_hub.utils.commit_options import MAIN, ON_MAIN, CommitOptions
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.files import write_text
from ncfm_hub.utils.hub_client import RepoType, client, with_retries, without_bars
from ncfm_hub.utils.hub_errors import is_lost_answer, short
from ncfm_hub.utils.progress import Progress, Silent
from ncfm_hub.utils.waiting import patient

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo


@dataclass(frozen=True)
class Pushed:
    """Where a folder was pushed, or would be.

    url: of the repository
    revision: the commit, 40 hex digits; None after a dry run
    branch: where the commit is; `refs/pr/N` in a pull request
    tag: of the commit
    pull_request: the address of the one that was opened
    changes: what was uploaded and deleted
    """

    repo_id: str
    url: str
    revision: str | None
    branch: str
    tag: str | None
    pull_request: str | None
    changes: Changes


@dataclass(frozen=True)
class _Sent:
    """A finished commit.

    card, plot: as committed
    revision: the commit
    branch: where it is; `refs/pr/N` in a pull request
    pull_request: the address of the one that was opened
    notes: what happened to existing files
    """

    card: Card
    plot: bytes | None
    revision: str
    branch: str
    pull_request: str | None
    changes: Changes
    notes: list[str]


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    replace: bool = False,
    default: str | None = None,
    commit: CommitOptions = ON_MAIN,
    dry_run: bool = False,
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
    commit: message, branch, tag, or whether to open a pull request
    dry_run: check, and return what would be uploaded; neither the folder nor the Hub is changed
    Raises PublishError: for an invalid folder, before anything is uploaded, and for a failed push, ending with the
        command that resumes it. The folder is left unchanged then. ReplaceNeeded if an earlier version is there.
    """
    progress = progress or Silent()
    if repo_type == "dataset" and folder.is_dir():
        _to_present_layout(folder, progress, dry_run)
    checked = _checked(folder, repo_type, progress)
    job = PushJob(client(token), folder, checked, repo_id, repo_type, private, replace, default, commit)
    with without_bars(), patient(progress):  # one client for all requests, so that it connects once
        if dry_run:
            with ending_with(NOT_BEGUN, repo_id, token):
                changes = with_retries(partial(_rehearse, job, progress), what=repo_id, progress=progress)
            return Pushed(repo_id, job.url, None, commit.branch, commit.tag, None, changes)
        with ending_with(f"{folder} is whole, push it again with: {job.command}", repo_id, token):
            _name_in_card(job)
            say = cache(progress.note)  # each line once, however often it is tried
            sent = with_retries(lambda: _commit(job, say), what=f"pushing to {repo_id}", progress=progress)
        for note in sent.notes:
            progress.note(note)
        _check_sent(job, sent, token, progress)
    return Pushed(repo_id, job.url, sent.revision, sent.branch, commit.tag, sent.pull_request, sent.changes)


def _to_present_layout(folder: Path, progress: Progress, dry_run: bool) -> None:
    """Convert `folder` if it has the former layout."""
    if dry_run and any(place.name is None for place in places_in(folder)):
        raise PublishError(f"{folder} has the former layout: a push converts it, and a dry run leaves it", again=False)
    try:
        convert(folder, progress)
    except NcfmHubError as error:
        raise PublishError(f"{error}; nothing was pushed", again=False) from error


def _checked(folder: Path, repo_type: RepoType, progress: Progress) -> Checked:
    try:
        checked = check_folder(folder, repo_type)
    except NcfmHubError as error:
        raise PublishError(f"{error}; nothing was pushed", again=False) from error
    for path, reason in checked.left_out.items():
        progress.note(f"{path} is not pushed: {reason}")
    return checked


def _name_in_card(job: PushJob) -> None:
    """Write the repository's id into the folder's card."""
    if job.repo_type == "model":
        write_pool_card(job.checked.root, repo_id=job.repo_id)
    else:
        default = job.default if job.default in job.checked.held else None
        write_card(job.checked.root, repo_id=job.repo_id, default=default)


def _commit(job: PushJob, say: Callable[[str], None]) -> _Sent:
    """Make one attempt, based on the repository's current state."""
    ready = prepare(job, _target(job) or _create(job))
    target, changes, made = ready.target, ready.changes, ready.made
    say(f"uploading to {job.repo_id}: {changes}" if changes else f"{job.repo_id} has all of it: nothing is uploaded")
    if target.new_branch:
        make_branch(job.api, target, job.commit.branch)
    done = _send(job, ready)
    notes = [note for name in ready.replaced for note in replaced_notes(job, target.remote, name)]
    branch = done.pr_revision or job.commit.branch
    return _Sent(made.card, made.plot, str(done.oid), branch, done.pr_url, changes, notes)


def _rehearse(job: PushJob, progress: Progress) -> Changes:
    """Return what a push would change, after the same checks."""
    nothing = Remote(job.repo_id, job.repo_type, None, job.private, {}, {}, None, None)
    target = _target(job)
    ready = prepare(job, target or Target(nothing, job.commit.branch != MAIN))
    notes = [] if target else [f"{job.repo_id} would be made"]
    notes += [f"branch {job.commit.branch} would be made from {MAIN}"] if ready.target.new_branch else []
    notes += [f"{name or 'the pool'} in {job.repo_id} would be replaced" for name in ready.replaced]
    for note in notes:
        progress.note(note)
    return ready.changes


def _target(job: PushJob) -> Target | None:
    return find_target(job.api, job.repo_id, job.repo_type, job.commit)


def _send(job: PushJob, ready: ReadyCommit) -> "CommitInfo":
    try:
        return job.api.create_commit(
            job.repo_id,
            ready.operations,
            repo_type=job.repo_type,
            commit_message=job.commit.message,
            revision=job.commit.branch,
            create_pr=job.commit.create_pr,
            parent_commit=ready.target.remote.head,  # a concurrent commit gives 412: read and merge again
        )
    except Exception as error:
        if job.commit.create_pr and is_lost_answer(error, "/commit/"):
            raise PublishError(
                f"the Hub's answer was lost ({short(error)}); if {job.url}/discussions shows no new pull request, "
                f"push again with: {job.command}",
                again=False,
            ) from None  # with the cause it would be tried again
        raise


def _create(job: PushJob) -> Target:
    job.api.create_repo(
        job.repo_id, repo_type=job.repo_type, visibility="private" if job.private else None, exist_ok=True
    )
    made = _target(job)
    if made is None:
        raise PublishError(f"{job.repo_id} was made but cannot be seen")
    return made


def _keep_card(job: PushJob, sent: _Sent) -> None:
    """Write the card as committed into the folder, reduced to the distilled datasets that are there."""
    local = read_card(job.checked.root)
    if local is None or generated_configs(local.header) == generated_configs(sent.card.header):
        write_rendered(job.checked.root, Rendered(sent.card, sent.plot))
    else:
        write_text(job.checked.root / CARD, merge_cards(local, sent.card).text())


def _check_sent(job: PushJob, sent: _Sent, token: str | None, progress: Progress) -> None:
    """Read the commit back, then tag it, and keep its card."""
    commit, reading = job.commit, f"reading {job.repo_id} back"
    progress.note(reading)
    if sent.pull_request:  # the same command would open another one
        commit = replace_fields(commit, create_pr=False, branch=sent.branch)
    again = replace_fields(job, commit=commit).command
    published = f"{job.repo_id} is published at revision {sent.revision}"
    with ending_with(f"{published}, compare it again with: {again}", job.repo_id, token):
        found = with_retries(lambda: _read_back(job, sent), what=reading, progress=progress)
        progress.note(f"checked: {found}")
        if commit.tag:
            tagging = partial(set_tag, job.api, job.repo_id, job.repo_type, commit, sent.revision)
            with_retries(tagging, what=f"tagging {job.repo_id}", progress=progress)
        _keep_card(job, sent)


def _read_back(job: PushJob, sent: _Sent) -> str:
    """Compare the commit with what was pushed; returns what was compared."""
    files = job.checked.files | {CARD: sent.card.text().encode()} | ({PLOT: sent.plot} if sent.plot else {})
    commit = PushedCommit(job.api, job.repo_id, job.repo_type, sent.revision)
    check_files(commit, files)
    found = f"{counted(len(files), 'file')} by SHA-256"
    if job.repo_type == "model":
        return found
    images = check_loaded_images(commit, job.checked.root, [name for name in job.checked.held if name])
    return f"{found}, {counted(images, 'image')} as load_dataset gives them"
