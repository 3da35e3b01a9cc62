"""Read a pushed commit back and compare it with what was sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ncfm_hub.errors import PublishError
from ncfm_hub.publishing.hub.remote import downloaded
from ncfm_hub.utils.files import sha256_file
from ncfm_hub.utils.hub_client import RepoType

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_PATHS_AT_ONCE = 500  # the Hub answers 413 to more than 1,000


@dataclass(frozen=True)
class PushedCommit:
    """A commit of a repository. revision: 40 hex digits"""

    api: "HfApi"
    repo_id: str
    repo_type: RepoType
    revision: str

    def __str__(self) -> str:
        return f"{self.repo_id} at {self.revision[:12]}"


def check_files(commit: PushedCommit, sent: Mapping[str, Path | bytes]) -> None:
    """Compare large files by the SHA-256 that the Hub states, others by content.

    sent: path in the repository -> file or content
    Raises PublishError naming the first file that is missing or differs.
    """
    stated = _stated(commit, sorted(sent))
    for name, content in sent.items():
        if name not in stated:
            raise PublishError(f"{commit} lacks {name}, which was pushed")
        found = stated[name]
        if found is None:
            with downloaded(commit.api, commit.repo_id, commit.repo_type, name, commit.revision) as path:
                found = sha256_file(path)
        if found != (sha256_file(content) if isinstance(content, Path) else sha256(content).hexdigest()):
            raise PublishError(f"{name} as read back from {commit} is not what was pushed")


def _stated(commit: PushedCommit, names: list[str]) -> dict[str, str | None]:
    """Return the pushed files that the commit has: path -> SHA-256, None for a small file."""
    from huggingface_hub import RepoFile
    from huggingface_hub.utils import chunk_iterable

    entries = [
        entry
        for paths in chunk_iterable(names, _PATHS_AT_ONCE)
        for entry in commit.api.get_paths_info(
            commit.repo_id, list(paths), revision=commit.revision, repo_type=commit.repo_type
        )
    ]
    return {file.path: file.lfs.sha256 if file.lfs else None for file in entries if isinstance(file, RepoFile)}
