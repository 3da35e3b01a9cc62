"""Check that a push will be allowed, before hours of work."""

from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import PublishError
from ncfm_hub.publishing.hub.failing import ending_with
from ncfm_hub.publishing.hub.held import Held
from ncfm_hub.publishing.hub.remote import Remote, planned_files
from ncfm_hub.publishing.hub.target import find_target
from ncfm_hub.utils.commit_options import ON_MAIN, CommitOptions
from ncfm_hub.utils.hub_client import RepoType, client, with_retries, without_bars
from ncfm_hub.utils.progress import Silent
from ncfm_hub.utils.waiting import patient

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_TRIES = 3
NOT_BEGUN = "nothing has been begun, so start the same command again"


def check_can_push(
    repo_id: str | None,
    *,
    token: str | None = None,
    default_name: str,
    repo_type: RepoType = "dataset",
    private: bool = False,
    coming: Held | None = None,
    name: str | None = None,
    replace: bool = False,
    commit: CommitOptions = ON_MAIN,
    again: str = NOT_BEGUN,
) -> str:
    """Return the full id `owner/name` that a push will go to. Creates nothing.

    repo_id: `owner/name`, or a name in the user's namespace; None: `default_name` there
    coming: what will be pushed, if known
    name: of the distilled dataset that will be pushed
    replace: what lies there under that name may be replaced
    commit: where it will go; a pull request needs no right to write to the repository, which must be there
    again: advice for a user whose Hub fails
    Raises PublishError if there is no valid token with write access, the Hub is disabled or unreachable, the repository
    holds anything but datasets or a pool of ncfm-hub or one different from `coming`, has the tag already, or is public
    despite `private`; ReplaceNeeded if an earlier version of `coming` would be replaced.
    """
    with patient():  # one client for all requests, so that it connects once
        with ending_with(again, repo_id or default_name, token):
            api = client(_token(token))
            me = with_retries(api.whoami, what="asking the Hub who you are", progress=Silent(), tries=_TRIES)
            target = _full_id(repo_id, str(me["name"]), default_name)
            _check_token(me, None if commit.create_pr else target.partition("/")[0])
        with ending_with(again, target, token), without_bars():
            with_retries(
                lambda: _check_repository(api, target, repo_type, private, name, coming, replace, commit),
                what=target,
                progress=Silent(),
                tries=_TRIES,
            )
    return target


def _token(token: str | None) -> str:
    from huggingface_hub import get_token
    from huggingface_hub.constants import is_offline_mode

    if is_offline_mode():
        raise PublishError("nothing can be pushed while HF_HUB_OFFLINE is set; unset it")
    found = token or get_token()  # the latter reads HF_TOKEN
    if not found:
        raise PublishError("a push needs a token of the Hub: run `hf auth login`, or set HF_TOKEN")
    return found


def _full_id(repo_id: str | None, user: str, default_name: str) -> str:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    wanted = repo_id or default_name
    full = wanted if "/" in wanted else f"{user}/{wanted}"
    try:
        validate_repo_id(full)
    except HFValidationError as error:
        reason = " ".join(str(error).split())[:200]
        raise PublishError(f"{wanted!r} is not the name of a repository: {reason}", again=False) from error
    return full


def _check_token(me: dict[str, Any], owner: str | None) -> None:
    """Check what the token may do. owner: of the repository that is written to; None for a pull request, to any."""
    access = (me.get("auth") or {}).get("accessToken") or {}
    if access.get("role") == "read":
        raise PublishError("the token may only read; make one with the role 'write' in the Hub's settings and use that")
    if owner is None:
        return
    scopes = (access.get("fineGrained") or {}).get("scoped")
    if scopes is not None and not any("repo.write" in (scope.get("permissions") or ()) for scope in scopes):
        raise PublishError("the token may write to no repository; give it 'repo.write' in the Hub's settings")
    writable = {str(me["name"])} | {o["name"] for o in me.get("orgs") or () if o.get("roleInOrg") != "read"}
    if owner not in writable:
        names = ", ".join(sorted(writable))
        raise PublishError(
            f"{me['name']} may not write under {owner!r}; choose a --repo-id under one of: {names}",
            again=False,
        )


def check_visibility(remote: Remote, repo_id: str, private: bool) -> None:
    """Raise PublishError if content meant to be private would go to a public repository."""
    if private and not remote.private:
        raise PublishError(f"{repo_id} exists and is public; change that in its settings, or leave out --private")


def _check_repository(
    api: "HfApi",
    repo_id: str,
    repo_type: RepoType,
    private: bool,
    name: str | None,
    coming: Held | None,
    replace: bool,
    commit: CommitOptions,
) -> None:
    target = find_target(api, repo_id, repo_type, commit)
    if target is not None:
        remote = target.remote
        check_visibility(remote, repo_id, private)
        if not commit.create_pr:
            api.auth_check(repo_id, repo_type=repo_type, write=True)
        if repo_type == "model" or name is not None:
            remote.check_ours_to_write([name], planned_files(repo_type, name))
        if coming is not None:
            target.check_tag(commit, None)
            remote.check_source(name, coming)
        if coming is not None and not replace:
            remote.check_same(name, coming, "by --replace")
            remote.check_asked(name, coming, "by --replace")
