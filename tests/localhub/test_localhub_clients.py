"""What real clients see: huggingface_hub, the `hf` command, `datasets` and `timm` against a live local hub."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.localhub.conftest import Client, Server

WRITE, READ, BOB = "ada-may-write", "ada-may-read", "bob-may-write"


def _folder(path: Path) -> dict[str, str]:
    """Write files of each sort; returns path -> SHA-256 of the content."""
    contents = {
        "README.md": b"---\nlicense: mit\ntags: [tiny]\n---\n# Gr\xc3\xbc\xc3\x9fe\n",
        "data/train.parquet": b"PAR1" + os.urandom(2000) + b"PAR1",
        "data/deep/er/notes.txt": b"plain text\n",
        "model.bin": os.urandom(3_500_000),  # many Xet chunks
        "empty.txt": b"",
        "na\u00efve name.json": b"{}",
    }
    for name, data in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


def _transfer(folder: str, repo: str) -> dict[str, Any]:
    import hashlib
    from pathlib import Path

    from huggingface_hub import CommitOperationDelete, HfApi, snapshot_download

    api = HfApi()
    seen: dict[str, Any] = {"created": str(api.create_repo(repo, repo_type="dataset"))}
    first = api.upload_folder(repo_id=repo, repo_type="dataset", folder_path=folder, commit_message="all of it")
    again = api.upload_folder(repo_id=repo, repo_type="dataset", folder_path=folder)
    seen["oids"] = [first.oid, again.oid]
    local = Path(snapshot_download(repo, repo_type="dataset", revision=first.oid))
    files = [path for path in local.rglob("*") if path.is_file() and path.name != ".gitattributes"]
    seen["read back"] = {str(path.relative_to(local)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    info = api.dataset_info(repo, files_metadata=True)
    seen["card"] = [info.card_data.license, info.tags, info.sha]
    seen["large"] = {item.rfilename: item.lfs.sha256 for item in info.siblings if item.lfs}
    seen["top"] = [item.path for item in api.list_repo_tree(repo, repo_type="dataset")]
    seen["data"] = [item.path for item in api.list_repo_tree(repo, "data", repo_type="dataset", recursive=True)]
    ops = [CommitOperationDelete("data/deep/"), CommitOperationDelete("empty.txt")]
    api.create_commit(repo, ops, commit_message="fewer", commit_description="a body", repo_type="dataset")
    seen["fewer"] = api.list_repo_files(repo, repo_type="dataset")
    found = api.get_paths_info(repo, ["data", "model.bin", "gone"], repo_type="dataset", expand=True)
    seen["last commits"] = {item.path: item.last_commit.title for item in found}
    seen["history"] = [[commit.title, commit.message] for commit in api.list_repo_commits(repo, repo_type="dataset")]
    seen["exists"] = [api.file_exists(repo, name, repo_type="dataset") for name in ("model.bin", "empty.txt")]
    seen["listed"] = [item.id for item in api.list_datasets(author="ada", filter="tiny")]
    seen["own"] = [item.id for item in api.list_user_repos()]
    return seen


def test_a_folder_survives_the_round_trip(server: Server, client: Client, tmp_path: Path) -> None:
    hashes = _folder(tmp_path / "folder")
    for repo, env in (("ada/by-xet", {}), ("ada/by-lfs", {"HF_HUB_DISABLE_XET": "1"})):
        seen = client(server.hub.url, WRITE, _transfer, str(tmp_path / "folder"), repo, **env)
        assert seen["created"] == f"{server.hub.url}/datasets/{repo}"
        assert seen["oids"][0] == seen["oids"][1], "an unchanged folder must make no commit"
        assert seen["read back"] == hashes
        assert seen["card"] == ["mit", ["tiny", "license:mit"], seen["oids"][0]]
        assert seen["large"] == {name: hashes[name] for name in ("data/train.parquet", "model.bin")}
        assert sorted(seen["top"]) == sorted({name.split("/")[0] for name in hashes} | {".gitattributes"})
        assert set(seen["data"]) == {
            *("data/deep", "data/deep/er", "data/deep/er/notes.txt", "data/train.parquet"),
        }
        assert sorted(seen["fewer"]) == sorted(
            [".gitattributes", *(set(hashes) - {"data/deep/er/notes.txt", "empty.txt"})]
        )
        assert seen["last commits"] == {"data": "all of it", "model.bin": "all of it"}
        assert seen["history"] == [["fewer", "a body"], ["all of it", ""], ["initial commit", ""]]
        assert seen["exists"] == [True, False]
        assert repo in seen["listed"]
        assert repo in seen["own"]
    assert list((server.root / "xorbs" / "ada").iterdir()), "the first upload should have gone the Xet way"


def _references(repo: str) -> dict[str, Any]:
    from pathlib import Path

    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()

    def failure(name: str, *args: Any, **options: Any) -> list[Any]:
        try:
            getattr(api, name)(*args, **options)
        except HfHubHTTPError as error:
            return [type(error).__name__, error.response.status_code]
        return ["no error", 0]

    api.create_repo(repo)
    one = api.upload_file(path_or_fileobj=b"one", path_in_repo="a.txt", repo_id=repo).oid
    api.create_branch(repo, branch="exp/one")
    api.create_tag(repo, tag="v1.0")
    two = api.upload_file(path_or_fileobj=b"two", path_in_repo="a.txt", repo_id=repo, revision="exp/one").oid
    refs = api.list_repo_refs(repo)
    seen: dict[str, Any] = {
        "branches": {item.name: item.target_commit for item in refs.branches},
        "tags": {item.name: item.target_commit for item in refs.tags},
        "commits": [one, two],
        "contents": {
            name: Path(api.hf_hub_download(repo, "a.txt", revision=name)).read_text()
            for name in ("main", "exp/one", "v1.0", two, two[:8], "refs/heads/exp/one")
        },
        "same branch": failure("create_branch", repo, branch="exp/one"),
        "same tag": failure("create_tag", repo, tag="v1.0"),
        "no start": failure("create_branch", repo, branch="x", revision="nowhere"),
        "delete main": failure("delete_branch", repo, branch="main"),
        "bad name": failure("create_branch", repo, branch="a..b"),
        "no revision": failure("model_info", repo, revision="nowhere"),
        "no revision's file": failure("hf_hub_download", repo, "a.txt", revision="nowhere"),
        "commit to a tag": failure(
            "upload_file", path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=repo, revision="v1.0"
        ),
        "no file": failure("hf_hub_download", repo, "b.txt"),
        "no repo": failure("model_info", "ada/none"),
        "no namespace": failure("dataset_info", "mnist"),
        "no file to delete": failure("delete_file", "b.txt", repo),
        "same repo": failure("create_repo", repo),
    }
    api.delete_branch(repo, branch="exp/one")
    api.delete_tag(repo, tag="v1.0")
    api.create_repo(repo, exist_ok=True)
    api.move_repo(repo, repo + "-moved")
    after = api.list_repo_refs(repo + "-moved")
    seen["after"] = [[item.name for item in after.branches], [item.name for item in after.tags]]
    api.delete_repo(repo + "-moved")
    seen["deleted"] = failure("model_info", repo + "-moved")
    return seen


def test_branches_tags_and_their_errors(server: Server, client: Client) -> None:
    seen = client(server.hub.url, WRITE, _references, "ada/refs")
    one, two = seen["commits"]
    assert seen["branches"] == {"main": one, "exp/one": two}
    assert seen["tags"] == {"v1.0": one}
    assert seen["contents"] == {
        **{"main": "one", "v1.0": "one", "exp/one": "two", two: "two", two[:8]: "two"},
        "refs/heads/exp/one": "two",
    }
    expected = {
        "same branch": ["HfHubHTTPError", 409],
        "same tag": ["HfHubHTTPError", 409],
        "no start": ["RevisionNotFoundError", 404],
        "delete main": ["HfHubHTTPError", 403],
        "bad name": ["BadRequestError", 400],
        "no revision": ["RevisionNotFoundError", 404],
        "no revision's file": ["RevisionNotFoundError", 404],
        "commit to a tag": ["RevisionNotFoundError", 404],
        "no file": ["RemoteEntryNotFoundError", 404],
        "no repo": ["RepositoryNotFoundError", 404],
        "no namespace": ["RepositoryNotFoundError", 404],
        "no file to delete": ["RemoteEntryNotFoundError", 404],
        "same repo": ["HfHubHTTPError", 409],
        "deleted": ["RepositoryNotFoundError", 404],
    }
    assert {name: seen[name] for name in expected} == expected
    assert seen["after"] == [["main"], []]


def _rights(tokens: dict[str, Any]) -> dict[str, Any]:
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    owner = HfApi(token=tokens["ada"])
    seen: dict[str, Any] = {"roles": {}}
    for repo in ("open", "private", "gated"):
        owner.create_repo(f"ada/{repo}", repo_type="dataset", private=repo == "private")
        owner.upload_file(path_or_fileobj=b"x", path_in_repo="f.txt", repo_id=f"ada/{repo}", repo_type="dataset")
    owner.update_repo_settings("ada/gated", repo_type="dataset", gated="manual")

    def outcome(action: Any) -> list[Any]:
        try:
            action()
        except HfHubHTTPError as error:
            return [type(error).__name__, error.response.status_code]
        return ["fine", 200]

    for who, token in tokens.items():
        api = HfApi(token=token)
        for repo in ("open", "private", "gated"):
            name = f"ada/{repo}"
            seen[f"{who} info {repo}"] = outcome(lambda: api.dataset_info(name))  # noqa: B023
            seen[f"{who} read {repo}"] = outcome(
                lambda: get_hf_file_metadata(hf_hub_url(name, "f.txt", repo_type="dataset"), token=token)  # noqa: B023
            )
            seen[f"{who} write {repo}"] = outcome(
                lambda: api.upload_file(path_or_fileobj=b"y", path_in_repo="g", repo_id=name, repo_type="dataset")  # noqa: B023
            )
        seen[f"{who} create"] = outcome(lambda: api.create_repo("ada/made", exist_ok=False))  # noqa: B023
        seen[f"{who} whoami"] = outcome(api.whoami) if token else None
        if seen[f"{who} whoami"] == ["fine", 200]:
            seen["roles"][who] = api.whoami()["auth"]["accessToken"]["role"]
    seen["listed to bob"] = sorted(item.id for item in HfApi(token=tokens["bob"]).list_datasets(author="ada"))
    owner.grant_access("ada/gated", "bob", repo_type="dataset")
    seen["bob admitted"] = outcome(
        lambda: HfApi(token=tokens["bob"]).hf_hub_download("ada/gated", "f.txt", repo_type="dataset")
    )
    return seen


def test_who_may_do_what(server: Server, client: Client) -> None:
    tokens = {"ada": WRITE, "reader": READ, "bob": BOB, "nobody": False, "forger": "hf_forged"}
    seen = client(server.hub.url, None, _rights, tokens)
    fine, missing, forbidden = ["fine", 200], "RepositoryNotFoundError", ["HfHubHTTPError", 403]
    assert seen["roles"] == {"ada": "write", "reader": "read", "bob": "write"}
    for what in ("open", "private", "gated"):
        assert seen[f"ada info {what}"] == seen[f"ada read {what}"] == seen[f"ada write {what}"] == fine
        assert seen[f"reader info {what}"] == seen[f"reader read {what}"] == fine
        assert seen[f"reader write {what}"] == forbidden
        assert seen[f"forger info {what}"] == ["HfHubHTTPError", 401]
    assert seen["ada create"] == fine
    assert seen["reader create"] == seen["bob create"] == forbidden
    assert seen["nobody create"][1] == seen["forger create"][1] == seen["forger whoami"][1] == 401
    assert seen["bob info open"] == seen["bob read open"] == seen["nobody read open"] == fine
    assert seen["bob write open"] == seen["bob write gated"] == forbidden
    assert seen["nobody write open"][1] == 401
    for what in ("info", "read", "write"):
        assert seen[f"bob {what} private"] == [missing, 404]
        assert seen[f"nobody {what} private"] == [missing, 401]
    assert seen["bob info gated"] == seen["nobody info gated"] == fine
    assert seen["bob read gated"] == ["GatedRepoError", 403]
    assert seen["nobody read gated"] == ["GatedRepoError", 401]
    assert seen["bob admitted"] == fine
    assert "ada/private" not in seen["listed to bob"]
    assert "ada/open" in seen["listed to bob"]


def _failures(repo: str) -> dict[str, Any]:
    import threading
    from collections import Counter

    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    api.create_repo(repo, repo_type="dataset")

    def put(name: str, parent: str | None = None) -> Any:
        """The commit's id, a status, or the name of an exception."""
        try:
            operation = CommitOperationAdd(name, name.encode())
            done = api.create_commit(repo, [operation], commit_message=name, parent_commit=parent, repo_type="dataset")
        except HfHubHTTPError as error:
            return error.response.status_code
        except Exception as error:
            return type(error).__name__
        return done.oid

    seen: dict[str, Any] = {"faults": [put(f"fault-{number}") for number in range(6)]}
    seen["landed"] = [name for name in api.list_repo_files(repo, repo_type="dataset") if name.startswith("fault")]
    stale = api.dataset_info(repo).sha
    seen["stale"] = [type(put("after", stale)).__name__, put("too-late", stale)]

    def together(prefix: str, parent: str | None) -> Counter[str]:
        results: list[Any] = []
        threads = [
            threading.Thread(target=lambda n=number: results.append(put(f"{prefix}-{n}", parent)))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Counter("landed" if isinstance(item, str) and len(item) == 40 else str(item) for item in results)

    seen["free"] = together("free", None)
    seen["bound"] = together("bound", api.dataset_info(repo).sha)
    files = api.list_repo_files(repo, repo_type="dataset")
    seen["files"] = {prefix: sum(name.startswith(prefix) for name in files) for prefix in ("free", "bound")}
    history = api.list_repo_commits(repo, repo_type="dataset")
    seen["commits"] = len(history)
    return seen


def test_faults_stale_parents_and_commits_at_once(server: Server, client: Client) -> None:
    for fault in (503, 412, 409, "drop", "drop-after"):
        server.hub.inject("POST", "/ada/faulty/commit/", fault)
    seen = client(server.hub.url, WRITE, _failures, "ada/faulty")
    statuses, dropped, last = seen["faults"][:3], seen["faults"][3:5], seen["faults"][5]
    assert statuses == [503, 412, 409]
    assert all(str(name).endswith("Error") for name in dropped), dropped
    assert len(last) == 40, "the faults are used up"
    assert seen["landed"] == ["fault-4", "fault-5"], (
        "of the two dropped connections, only the second came after the work"
    )
    assert seen["stale"] == ["str", 412]
    assert seen["free"] == {"landed": 8}
    assert seen["bound"] == {"landed": 1, "412": 7}
    assert seen["files"] == {"free": 8, "bound": 1}
    assert seen["commits"] == 1 + 2 + 1 + 8 + 1, "first, two after faults, `after`, eight free, one bound"


def _push(repo: str) -> list[Any]:
    import numpy as np
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
    from PIL import Image as Pillow

    names = ["zero", "one", "two"]
    features = Features({
        "image": Image(), "label": ClassLabel(names=names), "soft": List(Value("float32"), length=3)
    })  # fmt: skip
    draw = np.random.default_rng(0)

    def rows(count: int) -> Dataset:
        pixels = draw.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        columns = {
            "image": [Pillow.fromarray(item) for item in pixels],
            "label": [index % 3 for index in range(count)],
            "soft": [[0.25, 0.25, 0.5]] * count,
        }
        return Dataset.from_dict(columns, features=features)

    both = DatasetDict({"train": rows(30), "test": rows(6)})
    first = both.push_to_hub(repo, private=True).oid
    rows(4).push_to_hub(repo, config_name="small", split="train")
    both["train"].select(range(9)).push_to_hub(repo, split="train")
    return [first, [int(np.asarray(item["image"]).sum()) for item in both["train"]]]


def _load(repo: str, revision: str) -> dict[str, Any]:
    import numpy as np
    from datasets import get_dataset_config_names, load_dataset

    old = load_dataset(repo, revision=revision)
    new = load_dataset(repo, split="train")
    small = load_dataset(repo, "small", split="train")
    streamed = next(iter(load_dataset(repo, split="test", streaming=True)))
    return {
        "configs": get_dataset_config_names(repo),
        "rows": [len(old["train"]), len(old["test"]), len(new), len(small)],
        "pixels": [int(np.asarray(item["image"]).sum()) for item in old["train"]],
        "names": new.features["label"].names,
        "soft": [new.features["soft"].length, new[0]["soft"]],
        "streamed": [streamed["label"], list(streamed["image"].size)],
    }


def test_datasets_round_trip(server: Server, client: Client, tmp_path: Path) -> None:
    first, sums = client(server.hub.url, WRITE, _push, "ada/pictures", OMP_NUM_THREADS="1")
    # another HF_HOME, another token of the same user: nothing comes from a cache
    seen = client(
        server.hub.url, READ, _load, "ada/pictures", first, OMP_NUM_THREADS="1", HF_HOME=str(tmp_path / "other")
    )
    assert sorted(seen["configs"]) == ["default", "small"]
    assert seen["rows"] == [30, 6, 9, 4]
    assert seen["pixels"] == sums
    assert seen["names"] == ["zero", "one", "two"]
    assert seen["soft"] == [3, [0.25, 0.25, 0.5]]
    assert seen["streamed"] == [0, [8, 8]]


def _model(repo: str) -> dict[str, Any]:
    import timm
    import torch
    from timm.models import push_to_hf_hub

    torch.manual_seed(0)
    made = timm.create_model("test_vit", num_classes=7, img_size=32).eval()
    push_to_hf_hub(made, repo, model_config={"num_classes": 7}, safe_serialization=True)
    loaded = timm.create_model(f"hf-hub:{repo}", pretrained=True, img_size=32).eval()
    sample = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        return {"same": bool(torch.equal(made(sample), loaded(sample))), "classes": loaded.num_classes}


def test_timm_round_trip(server: Server, client: Client) -> None:
    assert client(server.hub.url, WRITE, _model, "ada/network", OMP_NUM_THREADS="1") == {"same": True, "classes": 7}


def test_the_hf_command(server: Server, tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    hashes = _folder(tmp_path / "up")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    env = kept | {"HF_ENDPOINT": server.hub.url, "HF_TOKEN": WRITE, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "*"}

    def hf(*args: str) -> str:
        command = [str(Path(sys.executable).parent / "hf"), *args]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "ada" in hf("auth", "whoami")
    hf("upload", "ada/by-command", "up", ".", "--repo-type", "dataset", "--private")
    hf("download", "ada/by-command", "--repo-type", "dataset", "--local-dir", "down")
    down = {name: hashlib.sha256((tmp_path / "down" / name).read_bytes()).hexdigest() for name in hashes}
    assert down == hashes
