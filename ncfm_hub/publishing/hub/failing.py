"""How a push that failed ends: one line, whose last words are what goes on."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ncfm_hub.errors import NcfmHubError, PublishError
from ncfm_hub.utils.hub_client import expected_errors, explain, hide


@contextmanager
def ending_with(advice: str, what: str, token: str | None) -> Iterator[None]:
    """Raise PublishError, ending with `advice`, for whatever a Hub's client or we raise within about `what`.

    An error that says itself what to change stays as it is: the same again would fail again.
    """
    try:
        yield
    except NcfmHubError as error:
        if isinstance(error, PublishError) and not error.again:
            raise
        raise PublishError(hide(f"{error}; {advice}", token)) from error
    except expected_errors() as error:
        raise PublishError(hide(f"{explain(error, what)}; {advice}", token)) from error


def push_command(folder: Path, repo_id: str | None, *, private: bool, replace: bool) -> str:
    """The command that pushes `folder`, for people to copy; it holds no token."""
    words = ["ncfm-hub", "push", str(folder)]
    words += ["--repo-id", repo_id] if repo_id else []
    words += ["--private"] * private + ["--replace"] * replace
    return shlex.join(words)
