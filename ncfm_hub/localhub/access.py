"""Who may see, read and write which repository."""

from ncfm_hub.localhub.accounts import Account
from ncfm_hub.localhub.names import KINDS
from ncfm_hub.localhub.replies import HubError, repo_not_found
from ncfm_hub.localhub.repositories import Repo
from ncfm_hub.localhub.web import Call


def caller(call: Call) -> Account | None:
    """Who asks; None without a token. Raises HubError (401) for a token that is not known."""
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    account = call.hub.accounts.find(token.strip())
    if account is None:
        raise HubError(401, "Invalid credentials in Authorization header")
    return account


def known_caller(call: Call) -> Account:
    """Who asks; somebody must."""
    account = caller(call)
    if account is None:
        raise HubError(401, "Invalid username or password.")
    return account


def sees(repo: Repo, account: Account | None) -> bool:
    """Whether a repository exists as far as `account` can tell."""
    return not repo.private or (account is not None and account.name == repo.namespace)


def visible(call: Call) -> Repo:
    """The repository the address names, if the caller may know of it."""
    account = caller(call)
    name = call.params["name"].removesuffix(".git")
    repo = call.hub.repositories.find(call.kind, call.params["space"], name)
    if repo is None or not sees(repo, account):
        raise repo_not_found(account is not None)
    return repo


def readable(call: Call) -> Repo:
    """The same if its files may be read too, which a gated repository grants to its owner and to those admitted."""
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
    """The repository the address names and its owner, if it is the owner who asks with a token that may write."""
    repo = visible(call)
    account = known_caller(call)
    if account.name != repo.namespace or account.role != "write":
        raise HubError(403, f"Forbidden: you have no write access to {repo.kind} {repo.full_name}")
    return repo, account


def may_write_in(call: Call, namespace: str | None) -> str:
    """The namespace for a new or moved repository: the caller's own, with a token that may write."""
    account = known_caller(call)
    namespace = namespace or account.name
    if account.name != namespace or account.role != "write":
        raise HubError(403, f"You don't have the rights to make or change repositories in the namespace {namespace!r}")
    return namespace


def singular_kind(kind: str) -> str:
    """A kind named in a JSON body."""
    if kind not in KINDS.values():
        raise HubError(400, f"Unknown repository type: {kind[:40]!r}")
    return kind
