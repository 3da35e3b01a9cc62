"""Errors in the Hub's format: a status, a message, and the code that clients map to exceptions."""


class HubError(Exception):
    """A rejected request; becomes a JSON response with the headers that clients read."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


def repo_not_found(authenticated: bool) -> HubError:
    """Error for a repository that is missing or not visible to the caller, which look the same."""
    return HubError(404 if authenticated else 401, "Repository not found", "RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    """Error for an unknown branch, tag or commit."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, headers: dict[str, str] | None = None) -> HubError:
    """Error for a file or folder that the revision lacks."""
    return HubError(404, f"Entry not found: {path}", "EntryNotFound", headers)
