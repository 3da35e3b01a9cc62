"""Where the commit of a push goes: a branch or a pull request, and its tag."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ncfm_hub.errors import PublishError
from ncfm_hub.publishing.hub.remote import Remote, look_at
from ncfm_hub.utils.commit_options import MAIN, CommitOptions
from ncfm_hub.utils.hub_client import RepoType
from ncfm_hub.utils.hub_errors import is_missing

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Target:
    """The commit that the one of a push follows.

    remote: the repository as it is there
    new_branch: whether the branch has yet to be made, at that commit
    tagged: the commit that has the tag already; None if there is none
    """

    remote: Remote
    new_branch: bool = False
    tagged: str | None = None

    def check_tag(self, commit: CommitOptions, revision: str | None) -> None:
        """Raise PublishError unless the tag is free or on `revision`; None for a commit that is not made yet."""
        if self.tagged not in (None, revision):
            raise _taken(self.remote.repo_id, commit, self.tagged)


def find_target(api: "HfApi", repo_id: str, repo_type: RepoType, commit: CommitOptions) -> Target | None:
    """Return the head of the branch of `commit`, or of `main` if that is to be made; None for a missing repository.

    Raises PublishError if `commit` needs a repository or a pull request that is not there, or its branch is a tag.
    """
    heads, tags = {MAIN}, dict[str, str]()
    if commit.branch != MAIN or commit.tag:
        heads, tags = _references(api, repo_id, repo_type, commit)
    new = commit.branch not in heads
    if new and commit.branch in tags:
        raise PublishError(f"{commit.branch} is a tag of {repo_id}; name a branch by --branch", again=False)
    remote = look_at(api, repo_id, repo_type, None if new or commit.branch == MAIN else commit.branch)
    if (commit.create_pr and remote is None) or (commit.on_pull and new):
        missing = commit.branch if commit.on_pull else "repository"
        raise PublishError(f"{repo_id}: there is no {missing} to propose this to", again=False)
    return None if remote is None else Target(remote, new, tags.get(commit.tag or ""))


def make_branch(api: "HfApi", target: Target, branch: str) -> None:
    """Make the branch at the commit of `target`."""
    remote = target.remote
    api.create_branch(remote.repo_id, branch=branch, revision=remote.head, repo_type=remote.repo_type, exist_ok=True)


def set_tag(api: "HfApi", repo_id: str, repo_type: RepoType, commit: CommitOptions, revision: str) -> None:
    """Give the tag to the commit `revision`, unless it has it. Raises PublishError if another got it meanwhile."""
    assert commit.tag is not None
    tagged = _references(api, repo_id, repo_type, commit)[1].get(commit.tag)
    if tagged is None:
        api.create_tag(repo_id, tag=commit.tag, revision=revision, repo_type=repo_type)
    elif tagged != revision:
        raise _taken(repo_id, commit, tagged)


def _references(
    api: "HfApi", repo_id: str, repo_type: RepoType, commit: CommitOptions
) -> tuple[set[str], dict[str, str]]:
    """Return what commits can be added to, and the commit of each tag; nothing for a missing repository."""
    try:
        refs = api.list_repo_refs(repo_id, repo_type=repo_type, include_pull_requests=commit.on_pull)
    except Exception as error:
        if is_missing(error):
            return {MAIN}, {}
        raise
    heads = {*(ref.name for ref in refs.branches), *(ref.ref for ref in refs.pull_requests or ())}
    return heads, {ref.name: ref.target_commit for ref in refs.tags}


def _taken(repo_id: str, commit: CommitOptions, tagged: str | None) -> PublishError:
    return PublishError(
        f"{repo_id} has the tag {commit.tag} already, on commit {str(tagged)[:12]}; choose another by --tag, or delete "
        "that one",
        again=False,
    )
