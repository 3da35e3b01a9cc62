"""How the commit of a push to a Hub is made."""

import re
from dataclasses import dataclass

from ncfm_hub.errors import PublishError

MAIN = "main"
MESSAGE = "Upload with ncfm-hub"
_PULL = re.compile(r"refs/pr/[1-9][0-9]*")
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_+-]|\.(?![./]|lock(?:/|$)|$))*"  # as git takes them, and every shell
_NAME = re.compile(rf"(?!refs/){_PART}(?:/{_PART})*")


@dataclass(frozen=True)
class CommitOptions:
    """How the commit of a push is made.

    message: its title
    branch: where it goes; made from `main` if it is not there. Also `refs/pr/N`, an open pull request
    tag: name that the commit gets, once it has been read back
    create_pr: open a pull request against `main` instead
    Raises PublishError for a name that is not possible, and for options that contradict each other.
    """

    message: str = MESSAGE
    branch: str = MAIN
    tag: str | None = None
    create_pr: bool = False

    def __post_init__(self) -> None:
        if not self.message.strip():
            raise PublishError("the commit message is empty", again=False)
        for what, name in (("branch", self.branch), ("tag", self.tag)):
            possible = name is None or _NAME.fullmatch(name) or (what == "branch" and _PULL.fullmatch(name))
            if not possible or re.fullmatch(r"[0-9a-f]{40}", name or ""):
                raise PublishError(
                    f"{name!r} is not the name of a {what}; expected letters, digits, '-', '_' and '.', such as v1.0",
                    again=False,
                )
        if self.create_pr and (self.branch != MAIN or self.tag):
            other = "--tag" if self.tag else "--branch"
            raise PublishError(
                f"a pull request is opened against {MAIN} and gets its tag after the merge; leave out --create-pr or "
                f"{other}",
                again=False,
            )

    @property
    def on_pull(self) -> bool:
        """Whether the commit is added to a pull request that is there."""
        return _PULL.fullmatch(self.branch) is not None

    def words(self) -> list[str]:
        """Return the flags of `ncfm-hub push` that say the same."""
        words = ["--create-pr"] if self.create_pr else []
        words += ["--commit-message", self.message] if self.message != MESSAGE else []
        words += ["--branch", self.branch] if self.branch != MAIN else []
        return words + (["--tag", self.tag] if self.tag else [])

    def __str__(self) -> str:
        parts = ["as a pull request"] if self.create_pr else [f"branch {self.branch}"] if self.branch != MAIN else []
        return ", ".join(parts + ([f"tag {self.tag}"] if self.tag else []))


ON_MAIN = CommitOptions()  # one commit on `main`
