"""A push: what goes where, and the command that does it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ncfm_hub.publishing.hub.checking import Checked
from ncfm_hub.publishing.hub.failing import push_command
from ncfm_hub.utils.commit_options import CommitOptions
from ncfm_hub.utils.hub_client import RepoType

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class PushJob:
    """A push. asked: the folder as the user named it, of one distilled dataset or of all"""

    api: "HfApi"
    asked: Path
    checked: Checked
    repo_id: str
    repo_type: RepoType
    private: bool
    replace: bool
    default: str | None
    commit: CommitOptions

    @property
    def url(self) -> str:
        """The address of the repository."""
        return f"{self.api.endpoint}/{'datasets/' if self.repo_type == 'dataset' else ''}{self.repo_id}"

    @property
    def command(self) -> str:
        """The command that pushes the same."""
        return push_command(
            self.asked,
            self.repo_id,
            private=self.private,
            replace=self.replace,
            default=self.default,
            commit=self.commit,
        )
