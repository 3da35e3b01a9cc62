"""A folder put on a Hub in one commit, tried again when the Hub is busy, read back and compared."""

import shlex
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ncfm_hub.errors import DistilledError, PublishError
from ncfm_hub.files import sha256_file, write_text
from ncfm_hub.hub import RepoType, client, expected_errors, explain, hide, with_retries, without_bars
from ncfm_hub.progress import Progress, Silent
from ncfm_hub.publishing.card import write_card
from ncfm_hub.publishing.card_text import merge_cards, parse_card
from ncfm_hub.publishing.layout import CARD, PIPELINE
from ncfm_hub.publishing.permission import check_can_push as check_can_push  # asked before, found in the same place
from ncfm_hub.publishing.permission import check_visibility
from ncfm_hub.publishing.pool_card import POOL, write_pool_card
from ncfm_hub.publishing.remote import Remote, look_at

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
    repo_id: str
    repo_type: RepoType
    private: bool


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    repo_type: RepoType = "dataset",
    progress: Progress | None = None,
) -> Pushed:
    """Put all files of `folder` (hidden ones apart) into the repository, and check that they can be read back.

    The repository is made if need be, private if asked. Files that others put there stay, shards of an earlier push go,
    and what a person changed in the card on the Hub is merged into the folder's card.
    Raises PublishError, one line, ending with the command that tries again; the folder is left as it is.
    """
    progress = progress or Silent()
    job = _Job(client(token), folder, repo_id, repo_type, private)
    try:
        _name_in_card(job)
        with without_bars():
            card, revision = with_retries(lambda: _commit(job), what=f"pushing to {repo_id}", progress=progress)
            progress.note(f"reading {repo_id} back")
            with_retries(lambda: _compare(job, card, revision), what=f"reading {repo_id} back", progress=progress)
    except (PublishError, DistilledError) as error:
        raise PublishError(hide(f"{error}; {_again(job)}", token)) from error
    except expected_errors() as error:
        raise PublishError(hide(f"{explain(error, repo_id)}; {_again(job)}", token)) from error
    if card is not None:
        write_text(folder / CARD, card)  # the folder stays what the repository is
    kind = "datasets/" if repo_type == "dataset" else ""
    return Pushed(repo_id, f"{job.api.endpoint}/{kind}{repo_id}", revision)


def _name_in_card(job: _Job) -> None:
    """Let the folder's card say where it is going to be found."""
    if job.repo_type == "model" and (job.folder / POOL).is_file():
        write_pool_card(job.folder, repo_id=job.repo_id)
    elif job.repo_type == "dataset" and (job.folder / PIPELINE).is_file():
        write_card(job.folder, repo_id=job.repo_id)


def _again(job: _Job) -> str:
    private = " --private" if job.private else ""
    command = f"ncfm-hub push {shlex.quote(str(job.folder))} --repo-id {shlex.quote(job.repo_id)}{private}"
    return f"{job.folder} is whole, push it again with: {command}"


def _commit(job: _Job) -> tuple[str | None, str]:
    """One attempt, from the repository as it is now: (the card as committed, None without one; the commit)."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    remote = look_at(job.api, job.repo_id, job.repo_type) or _create(job)
    check_visibility(remote, job.repo_id, job.private)
    files = _files(job.folder)
    remote.check_ours_to_write(files)
    card = _merged_card(job, remote)
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, card.encode() if name == CARD and card is not None else str(path))
        for name, path in files.items()
    ]
    operations += [CommitOperationDelete(name, is_folder=False) for name in remote.left_over(files)]
    done = job.api.create_commit(
        job.repo_id,
        operations,
        repo_type=job.repo_type,
        commit_message="Upload with ncfm-hub",
        parent_commit=remote.head,  # someone else's commit meanwhile is a 412: look again, merge again
    )
    return card, str(done.oid)


def _create(job: _Job) -> Remote:
    job.api.create_repo(
        job.repo_id, repo_type=job.repo_type, visibility="private" if job.private else None, exist_ok=True
    )
    made = look_at(job.api, job.repo_id, job.repo_type)
    if made is None:
        raise PublishError(f"{job.repo_id} was made but cannot be seen")
    return made


def _files(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file; links, hidden files and what lies in hidden folders are not for publishing."""
    inside = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")))
    found = {
        name.as_posix(): path
        for name, path in inside
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in name.parts)
    }
    if not found:
        raise PublishError(f"{folder} has no files to push")
    return found


def _merged_card(job: _Job, remote: Remote) -> str | None:
    path = job.folder / CARD
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    return merge_cards(parse_card(text, str(path)), remote.card).text() if remote.card else text


def _compare(job: _Job, card: str | None, revision: str) -> None:
    from huggingface_hub.errors import RemoteEntryNotFoundError

    with TemporaryDirectory(prefix="ncfm-hub-") as temporary:
        for name, path in _files(job.folder).items():
            expected = sha256(card.encode()).hexdigest() if name == CARD and card is not None else sha256_file(path)
            try:
                # Downloaded into an empty folder: neither the cache nor the sizes in a listing prove anything.
                got = job.api.hf_hub_download(
                    job.repo_id, name, repo_type=job.repo_type, revision=revision, local_dir=temporary
                )
            except RemoteEntryNotFoundError as error:
                raise PublishError(f"{job.repo_id} at {revision[:12]} lacks {name}, which was pushed") from error
            if sha256_file(Path(got)) != expected:
                raise PublishError(f"{name} as read back from {job.repo_id} at {revision[:12]} is not what was pushed")
            Path(got).unlink()
