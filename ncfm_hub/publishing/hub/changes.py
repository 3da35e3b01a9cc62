"""What the commit of a push changes in a repository, with sizes, before anything is uploaded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.publishing.hub.remote import Remote
from ncfm_hub.utils.counting import byte_count, counted

if TYPE_CHECKING:
    from ncfm_hub.publishing.hub.operations import Operation

_SHOWN = 3


@dataclass(frozen=True)
class Changes:
    """The files of a push.

    uploaded: path -> bytes, of new files and those with new content
    unchanged: path -> bytes, of those that the repository has already
    moved: former path -> path
    deleted: paths
    """

    uploaded: Mapping[str, int]
    unchanged: Mapping[str, int]
    moved: Mapping[str, str]
    deleted: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.uploaded or self.moved or self.deleted)

    def __str__(self) -> str:
        """Return one line, with the largest files."""
        largest = sorted(self.uploaded, key=lambda path: -self.uploaded[path])
        sizes = [f"{path} {byte_count(self.uploaded[path])}" for path in largest]
        total = f"{counted(len(largest), 'file')}, {byte_count(sum(self.uploaded.values()))}"
        said = [f"{total} ({_some(sizes)})"] if largest else []
        said += [f"{len(self.moved)} moved"] if self.moved else []
        said += [f"{len(self.deleted)} deleted ({_some(self.deleted)})"] if self.deleted else []
        said += [f"{len(self.unchanged)} unchanged"] if self.unchanged else []
        return "; ".join(said)

    def lines(self) -> list[str]:
        """Return one line per file."""
        return [
            *(f"upload     {byte_count(size):>10}  {path}" for path, size in self.uploaded.items()),
            *(f"move       {'':10}  {before} -> {path}" for before, path in self.moved.items()),
            *(f"delete     {'':10}  {path}" for path in self.deleted),
            *(f"unchanged  {byte_count(size):>10}  {path}" for path, size in self.unchanged.items()),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, with the total of the bytes uploaded."""
        return {**asdict(self), "uploaded_bytes": sum(self.uploaded.values())}


def changes_of(operations: "Sequence[Operation]", remote: Remote) -> Changes:
    """Return what `operations` change in the repository as it is."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy

    uploaded: dict[str, int] = {}
    unchanged: dict[str, int] = {}
    moved: dict[str, str] = {}
    deleted: list[str] = []
    for operation in operations:
        path = operation.path_in_repo
        if isinstance(operation, CommitOperationCopy):
            moved[operation.src_path_in_repo] = path
        elif isinstance(operation, CommitOperationAdd):
            content = operation.path_or_fileobj
            assert isinstance(content, str | bytes)
            there = remote.has(path, content if isinstance(content, bytes) else Path(content))
            (unchanged if there else uploaded)[path] = operation.upload_info.size
        else:
            deleted.append(path)
    return Changes(uploaded, unchanged, moved, [path for path in deleted if path not in moved])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
