"""A dry run of a push makes all checks, says what would be uploaded, and changes nothing."""

import hashlib
import json
import shlex
from pathlib import Path

import pytest

from ncfm_hub.errors import PublishError
from ncfm_hub.publishing import push_folder
from ncfm_hub.publishing.hub.changes import Changes
from ncfm_hub.utils.commit_options import CommitOptions
from ncfm_hub.utils.counting import byte_count
from tests.publishing.conftest import typed
from tests.publishing.hub.test_published_push import REPO, commits, remote_files, upload
from tests.publishing.noise_sets import noise_set, write_folder, write_former, write_pool

SHARD = "train-00000-of-00001.parquet"
FILES = {
    *(f"ipc2/{name}" for name in ("distilled.safetensors", "pipeline.yaml", "results.json", "preview.png")),
    *(f"ipc2/{directory}/{SHARD}" for directory in ("data", "stored")),
}


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rehearsed(folder: Path, **more) -> Changes:
    before = contents(folder)
    made = push_folder(folder, more.pop("repo_id", REPO), dry_run=True, **more)
    assert made.revision is None
    assert contents(folder) == before
    return made.changes


def test_no_repository_is_made_and_the_sizes_are_those_of_the_files(hub, here, tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    found = rehearsed(folder, commit=CommitOptions(branch="dev"), progress=here)
    assert not hub.api().repo_exists(REPO, repo_type="dataset")
    assert here.lines == [f"{REPO} would be made", "branch dev would be made from main"]
    assert set(found.uploaded) == {*FILES, "README.md"}
    assert {name: size for name, size in found.uploaded.items() if name != "README.md"} == {
        name: (folder / name).stat().st_size for name in FILES
    }
    push_folder(folder, REPO)
    assert found.uploaded["README.md"] == (folder / "README.md").stat().st_size
    assert (found.unchanged, found.moved, found.deleted) == ({}, {}, [])


def test_what_is_there_is_not_counted_and_what_is_stale_is_named(hub, here, tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    push_folder(folder, REPO)
    assert not rehearsed(folder)
    upload(hub, "ipc2/nas.json", "stale")
    upload(hub, "notes.txt", "mine")
    again = write_folder(tmp_path / "again", noise_set(seed=1))
    before = commits(hub)
    with pytest.raises(PublishError, match="holds ipc2 already"):
        rehearsed(again)
    found = rehearsed(again, replace=True, progress=here)
    assert here.lines == [f"ipc2 in {REPO} would be replaced"]
    assert found.deleted == ["ipc2/nas.json"]
    assert set(found.uploaded) | set(found.unchanged) == {*FILES, "README.md"}
    assert {"ipc2/pipeline.yaml", "ipc2/results.json"} <= set(found.unchanged)
    assert commits(hub) == before
    push_folder(again, REPO, replace=True, progress=here)
    assert here.lines[1] == f"uploading to {REPO}: {found}"
    assert remote_files(hub) == {*FILES, "README.md", "notes.txt"}


def test_a_dataset_of_the_former_layout_in_the_repository_would_be_moved(hub, here, tmp_path):
    former = write_former(tmp_path / "former", noise_set())
    hub.api().create_repo(REPO, repo_type="dataset")
    hub.api().upload_folder(repo_id=REPO, repo_type="dataset", folder_path=former)
    found = rehearsed(write_folder(tmp_path / "one", noise_set(ipc=1)))
    assert found.moved[f"default/{SHARD}"] == f"ipc2/data/{SHARD}"
    assert found.deleted == []
    before = contents(former)
    with pytest.raises(PublishError, match="has the former layout: a push converts it, and a dry run leaves it"):
        push_folder(former, REPO, dry_run=True)
    assert contents(former) == before


def test_a_pool_too(hub, here, tmp_path):
    pool = write_pool(tmp_path / "pool", 1)
    found = rehearsed(pool, repo_id="ada/pool", repo_type="model")
    names = {path.name for path in pool.iterdir()} | {"README.md"}
    assert set(found.uploaded) == names
    assert not hub.api().repo_exists("ada/pool")


def test_the_command_lists_the_files(hub, here, tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    command = f"ncfm-hub push {shlex.quote(str(folder))} --repo-id {REPO} --dry-run"
    people = typed(command)
    assert people.exit_code == 0, people.stderr
    lines = people.stdout.splitlines()
    assert lines[0] == f"push to      {hub.hub.url}/datasets/{REPO}"
    size = byte_count((folder / "ipc2" / "preview.png").stat().st_size)
    assert f"upload     {size:>10}  ipc2/preview.png" in lines
    assert lines[-1].startswith("7 files, ")
    found = json.loads(typed(f"{command} --format json").stdout)
    assert found["revision"] is None
    assert found["changes"]["uploaded_bytes"] == sum(found["changes"]["uploaded"].values())
    assert not hub.api().repo_exists(REPO, repo_type="dataset")
    push_folder(folder, REPO)
    again = typed(f"{command} -q")
    assert (again.exit_code, again.stdout) == (0, f"{REPO}\n")


def test_one_line_has_the_largest_and_the_total():
    sizes = {"a": 900, "b": 1_500_000, "c": 20_000, "d": 10}
    changes = Changes(sizes, {"e": 1}, {"f": "g"}, ["h", "i", "j", "k"])
    assert str(changes) == (
        "4 files, 1.5 MB (b 1.5 MB, c 20.0 kB, a 900 bytes, ...); 1 moved; 4 deleted (h, i, j, ...); 1 unchanged"
    )
    assert not Changes({}, {"e": 1}, {}, [])


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")],
)
def test_numbers_of_bytes(number, said):
    assert byte_count(number) == said
