"""The error line of a failed push, which ends with the command that resumes it."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ncfm_hub.errors import HubUnavailable, NcfmHubError, PublishError
from ncfm_hub.utils.commit_options import ON_MAIN, CommitOptions
from ncfm_hub.utils.hub_errors import expected_errors, explain, hide


@contextmanager
def ending_with(advice: str, what: str, token: str | None) -> Iterator[None]:
    """Turn any error about `what` into a PublishError ending with `advice`.

    An error that already says what to change is left as it is, since repeating the push would fail again.
    """
    try:
        yield
    except NcfmHubError as error:
        if isinstance(error, PublishError) and not error.again:
            raise
        said = explain(error, what) if isinstance(error, HubUnavailable) else error
        raise PublishError(hide(f"{said}; {advice}", token)) from error
    except expected_errors() as error:
        raise PublishError(hide(f"{explain(error, what)}; {advice}", token)) from error


def push_command(
    folder: Path,
    repo_id: str | None,
    *,
    private: bool,
    replace: bool,
    default: str | None = None,
    commit: CommitOptions = ON_MAIN,
) -> str:
    """Return the command that pushes `folder`, for users to copy; without a token."""
    words = ["ncfm-hub", "push", str(folder)]
    words += ["--repo-id", repo_id] if repo_id else []
    words += ["--default", default] if default else []
    words += ["--private"] * private + ["--replace"] * replace + commit.words()
    return shlex.join(words)
