"""Errors as the Hub words them: a status, a message, and the code that clients turn into their own exceptions."""


class HubError(Exception):
    """A request that is refused; becomes a JSON reply with the headers that clients look at."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


def repo_not_found(authenticated: bool) -> HubError:
    """A repository that is missing or that the caller may not know of: the two look the same."""
    return HubError(404 if authenticated else 401, "Repository not found", "RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    """No branch, tag or commit of that name."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, headers: dict[str, str] | None = None) -> HubError:
    """The revision has no such file or folder."""
    return HubError(404, f"Entry not found: {path}", "EntryNotFound", headers)
