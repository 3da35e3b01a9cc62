"""Access control: who may see, read and write a repository."""

from ncfm_hub.localhub.accounts import Account
from ncfm_hub.localhub.history import PULL
from ncfm_hub.localhub.names import KINDS
from ncfm_hub.localhub.replies import HubError, repo_not_found
from ncfm_hub.localhub.repositories import Repo
from ncfm_hub.localhub.web import Call


def caller(call: Call) -> Account | None:
    """Return the caller's account; None without a token. Raises HubError (401) for an unknown token."""
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    account = call.hub.accounts.find(token.strip())
    if account is None:
        raise HubError(401, "Invalid credentials in Authorization header")
    return account


def known_caller(call: Call) -> Account:
    """Return the caller's account. Raises HubError (401) without a token."""
    account = caller(call)
    if account is None:
        raise HubError(401, "Invalid username or password.")
    return account


def sees(repo: Repo, account: Account | None) -> bool:
    """Return whether a repository is visible to `account`."""
    return not repo.private or (account is not None and account.name == repo.namespace)


def visible(call: Call) -> Repo:
    """Return the requested repository if it is visible to the caller."""
    account = caller(call)
    name = call.params["name"].removesuffix(".git")
    repo = call.hub.repositories.find(call.kind, call.params["space"], name)
    if repo is None or not sees(repo, account):
        raise repo_not_found(account is not None)
    return repo


def readable(call: Call) -> Repo:
    """Return the requested repository if the caller may read its files; a gated one admits owner and approved users."""
    repo = visible(call)
    if not repo.gated:
        return repo
    account = caller(call)
    if account is None:
        raise HubError(401, f"Access to {repo.kind} {repo.full_name} is restricted. Please log in.", "GatedRepo")
    if account.name != repo.namespace and not call.hub.repositories.is_admitted(repo, account.name):
        message = f"Access to {repo.kind} {repo.full_name} is restricted and you are not in the authorized list."
        raise HubError(403, message, "GatedRepo")
    return repo


def writable(call: Call) -> tuple[Repo, Account]:
    """Return the requested repository and its owner, if the caller is the owner and the token may write."""
    repo = visible(call)
    account = known_caller(call)
    if account.name != repo.namespace or account.role != "write":
        raise HubError(403, f"Forbidden: you have no write access to {repo.kind} {repo.full_name}")
    return repo, account


def may_propose(call: Call) -> tuple[Repo, Account]:
    """Return the requested repository and the caller, who may read it and has a token that may write."""
    repo, account = readable(call), known_caller(call)
    if account.role != "write":
        raise HubError(403, f"Forbidden: this token may not open a pull request in {repo.kind} {repo.full_name}")
    return repo, account


def may_commit(call: Call) -> tuple[Repo, Account]:
    """Return the requested repository and the caller, who may write to it or propose the commit.

    That is, with `create_pr`, or by a pull request of their own.
    """
    revision = call.params["rev"]
    if call.flag("create_pr"):
        return may_propose(call)
    if revision.startswith(PULL):
        repo, account = may_propose(call)
        if call.hub.pulls.find(repo.id, revision.removeprefix(PULL)).author == account.name:
            return repo, account
    return writable(call)


def may_write_in(call: Call, namespace: str | None) -> str:
    """Return the namespace of a new or moved repository: the caller's own, with a token that may write."""
    account = known_caller(call)
    namespace = namespace or account.name
    if account.name != namespace or account.role != "write":
        raise HubError(403, f"You don't have the rights to make or change repositories in the namespace {namespace!r}")
    return namespace


def singular_kind(kind: str) -> str:
    """Return the kind named in a JSON body."""
    if kind not in KINDS.values():
        raise HubError(400, f"Unknown repository type: {kind[:40]!r}")
    return kind
