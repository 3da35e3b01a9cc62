"""Options on the commit of a push."""

import functools
from collections.abc import Callable
from typing import Any

import click

from ncfm_hub.errors import NcfmHubError

Command = Callable[..., Any]


def commit_group(*branch_flags: str) -> Callable[[Command], Command]:
    """Add the options on the commit of a push, and pass the command its `commit`."""

    def decorate(command: Command) -> Command:
        @click.option("--create-pr", is_flag=True, help="Open a pull request instead of pushing to a branch.")
        @click.option("--commit-message", "message", metavar="TEXT", help="Commit message (default: a standard one).")
        @click.option(*branch_flags, "branch", metavar="NAME", help="Branch, made if it is missing (default: main).")
        @click.option("--tag", metavar="NAME", help="Tag for the commit, e.g. v1, given after it was read back.")
        @functools.wraps(command)
        def with_commit(*args: Any, **kwargs: Any) -> Any:
            from ncfm_hub.utils.commit_options import CommitOptions

            given = {name: kwargs.pop(name) for name in ("create_pr", "message", "branch", "tag")}
            try:
                commit = CommitOptions(**{name: value for name, value in given.items() if value is not None})
            except NcfmHubError as error:
                raise click.UsageError(str(error)) from error
            return command(*args, commit=commit, **kwargs)

        return with_commit

    return decorate
