"""Datasets put on a live hub as their owners would: by `push_to_hub` in a process of its own, or file by file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.conftest import LiveHub
from tests.e2e.people import Person

_OWNER = Path(__file__).with_name("owner.py")
Row = tuple[int, int | str]  # label, shade of the image


@dataclass(frozen=True)
class Repo:
    """A dataset to put on a hub.

    columns: name -> "image", "text", or the class names of a ClassLabel column
    splits: name -> rows. The label is taken modulo the number of classes; text is the label in digits. Instead of a
        shade an image may be "corrupt" (bytes of no image) or "nan" (a floating TIFF of NaN)
    """

    id: str
    columns: Mapping[str, str | Sequence[str]]
    splits: Mapping[str, Sequence[Row]]
    config: str = "default"
    mode: Literal["L", "RGB"] = "RGB"
    size: int = 8
    access: Literal["public", "private", "gated"] = "public"


def rows(labels: Iterable[int], each: int = 1) -> list[Row]:
    """`each` images of every label, every one of another shade."""
    return [(label, label * each + number) for label in labels for number in range(each)]


def push_to_hub(repos: Sequence[Repo], hub: LiveHub, owner: Person) -> dict[str, str]:
    """Push them all, each as the user its id begins with; returns id -> commit (40 hex digits)."""
    given = [vars(repo) | {"token": hub.hub.token(repo.id.partition("/")[0])} for repo in repos]
    where = {"HF_ENDPOINT": hub.hub.url, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    ended = owner.python(_OWNER, given=json.dumps(given), **where)
    assert ended.returncode == 0, ended.stderr
    commits: dict[str, str] = json.loads(ended.stdout)
    return commits


def upload_folder(folder: Path, repo_id: str, hub: LiveHub) -> str:
    """Put a folder on the hub as it is; returns the commit.

    Not through Xet: that client remembers, for the whole of this process, what it once sent to another hub.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi(endpoint=hub.hub.url, token=hub.hub.token(repo_id.partition("/")[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        api.create_repo(repo_id, repo_type="dataset")
        done: Any = api.upload_folder(repo_id=repo_id, repo_type="dataset", folder_path=folder)
    return str(done.oid)
