"""Pushing to a live local hub: one commit, retried, verified; no files of others lost, no token shown."""

import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, DatasetCard, HfApi

from ncfm_hub.errors import PublishError
from ncfm_hub.publishing import push_folder, write_data
from ncfm_hub.utils import waiting
from tests.publishing.conftest import typed
from tests.publishing.dataset.test_published_data import LOAD, check_loaded
from tests.publishing.noise_sets import NASTY, noise_set, write_folder, write_pool

REPO = "ada/insects-ncfm"

START = """
import dataclasses
from pathlib import Path
import huggingface_hub
from ncfm_hub.errors import NcfmHubError
from ncfm_hub.utils.progress import Silent
from ncfm_hub.utils import hub_client as hub, patience
from ncfm_hub.publishing import check_can_push, push_folder
hub.FIRST_WAIT = patience.FIRST_PAUSE = 0.05

class Notes(Silent):
    def __init__(self): self.lines = []
    def note(self, message): self.lines.append(message)

def said(action):
    try:
        return action()
    except NcfmHubError as error:
        return f"{type(error).__name__}: {error}"
"""
PUSH = (
    START
    + """
notes = Notes()
pushed = said(lambda: push_folder(Path(sys.argv[1]), sys.argv[2], progress=notes))
answer({"pushed": pushed if isinstance(pushed, str) else dataclasses.asdict(pushed), "notes": notes.lines})
"""
)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "a set", noise_set())


def remote_files(hub, repo: str = REPO, kind: str = "dataset") -> set[str]:
    return set(hub.api().list_repo_files(repo, repo_type=kind)) - {".gitattributes"}


def commits(hub, repo: str = REPO) -> int:
    return len(hub.api().list_repo_commits(repo, repo_type="dataset"))


def upload(hub, path: str, text: str, repo: str = REPO) -> None:
    hub.api().upload_file(path_or_fileobj=text.encode(), path_in_repo=path, repo_id=repo, repo_type="dataset")


def card_on(hub, tmp_path: Path, repo: str = REPO) -> DatasetCard:
    path = hub.api().hf_hub_download(
        repo, "README.md", repo_type="dataset", local_dir=tmp_path / "look", force_download=True
    )
    return DatasetCard(Path(path).read_text())


def test_a_pushed_set_is_loaded_exactly_by_a_clean_process(tmp_path, hub, client):
    distilled = noise_set(NASTY)
    folder = write_folder(tmp_path / "set", distilled)
    (folder / "ipc2" / ".ncfm").mkdir()
    (folder / "ipc2" / ".ncfm" / "checkpoint.pt").write_bytes(b"work")
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "ipc2" / "link").symlink_to("/etc/hostname")
    done = client(PUSH, hub.env, folder, REPO)["pushed"]
    assert done["repo_id"] == REPO
    assert done["url"] == f"{hub.hub.url}/datasets/{REPO}"
    assert done["revision"] == hub.api().repo_info(REPO, repo_type="dataset").sha
    assert commits(hub) == 2  # the hub's own first one, and ours
    assert remote_files(hub) == {
        "README.md",
        "ipc2/data/train-00000-of-00001.parquet",
        "ipc2/stored/train-00000-of-00001.parquet",
        "ipc2/distilled.safetensors",
        "ipc2/pipeline.yaml",
        "ipc2/results.json",
        "ipc2/preview.png",
    }
    assert f'load_dataset("{REPO}", split="train")' in (folder / "README.md").read_text()
    check_loaded(client(LOAD, hub.env, REPO, "ipc2", ours=False), distilled)


def test_a_set_is_read_from_the_hub_by_id_and_revision(hub, client, folder):
    revision = client(PUSH, hub.env, folder, REPO)["pushed"]["revision"]
    read = """
import ncfm_hub
from ncfm_hub.errors import DistilledError
one = ncfm_hub.load_distilled(sys.argv[1])
other = ncfm_hub.load_distilled(sys.argv[1], revision=sys.argv[2])
refused = []
for repo, revision in ((sys.argv[1], "nowhere"), ("ada/missing", None)):
    try:
        ncfm_hub.load_distilled(repo, revision=revision)
    except DistilledError as error:
        refused.append(str(error))
answer([one.images.tolist(), (one.soft_labels == other.soft_labels).all().item(), refused])
"""
    images, same, refused = client(read, hub.env, REPO, revision)
    assert images == noise_set().images.tolist()
    assert same
    url = hub.env["HF_ENDPOINT"]
    assert refused[0] == f"{REPO} has no revision 'nowhere' on {url}; name a branch, a tag or a commit"
    assert refused[1].startswith(f"ada/missing is not on {url}, or is private")


def test_a_push_connects_twice_to_ask_for_permission_and_to_publish(hub, here, folder, monkeypatch):
    made, bounded = [], waiting._bounded
    monkeypatch.setattr(waiting, "_bounded", lambda *given: made.append(bounded(*given)) or made[-1])
    done = typed(shlex.join(["ncfm-hub", "push", str(folder), "--repo-id", REPO]))
    assert done.exit_code == 0, done.stderr
    assert len(made) == 2


def test_busy_and_breaking_hubs_are_tried_again(hub, client, folder):
    faults = (503, 412, 409, 429, "drop", "drop-after")
    for number, fault in enumerate(faults):
        hub.hub.inject("POST", f"ada/set{number}/commit/", fault)
    code = (
        START
        + """
answers = []
for number in range(int(sys.argv[2])):
    notes = Notes()
    pushed = push_folder(Path(sys.argv[1]), f"ada/set{number}", progress=notes)
    answers.append([pushed.revision, notes.lines])
answer(answers)
"""
    )
    for number, (revision, notes) in enumerate(client(code, hub.env, folder, str(len(faults)))):
        repo = f"ada/set{number}"
        assert hub.api().repo_info(repo, repo_type="dataset").sha == revision, faults[number]
        assert commits(hub, repo) == 2, faults[number]  # after a lost answer too
        assert len([line for line in notes if "trying again" in line]) == 1, notes


def test_a_hub_that_stays_broken_ends_in_one_line_with_the_command(hub, here, folder, monkeypatch):
    hub.hub.inject("POST", "/commit/", 503, times=50)
    monkeypatch.setattr("ncfm_hub.utils.hub_client.TRIES", 3)
    command = f"ncfm-hub push {shlex.quote(str(folder))} --repo-id {REPO}"
    with pytest.raises(PublishError) as refused:
        push_folder(folder, REPO, progress=here)
    said = str(refused.value)
    assert said.startswith(f"{REPO}: the Hub answered 503")
    assert said.endswith(command)
    assert "\n" not in said
    assert len([line for line in here.lines if "trying again" in line]) == 2
    assert len([line for line in here.lines if line.startswith(f"uploading to {REPO}: 7 files, ")]) == 1
    assert remote_files(hub) == set()
    assert (folder / "ipc2" / "distilled.safetensors").is_file()


def test_pushes_at_the_same_time_all_arrive(tmp_path, hub, here):
    folders = [write_folder(tmp_path / str(seed), noise_set(seed=seed)) for seed in range(3)]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda folder: push_folder(folder, "ada/shared", replace=True).revision, folders))
    assert len(set(done)) == 3
    assert commits(hub, "ada/shared") == 4


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of the files that are downloaded to compare them; `datasets` downloads others, to its cache."""
    names: list[str] = []
    download = HfApi.hf_hub_download

    def recorded(api, repo_id, filename, **more):
        if "local_dir" in more:
            names.append(filename)
        return download(api, repo_id, filename, **more)

    monkeypatch.setattr(HfApi, "hf_hub_download", recorded)
    return names


def test_only_small_files_are_downloaded_to_compare_them(hub, here, folder, read, monkeypatch):
    monkeypatch.setattr("ncfm_hub.publishing.hub.reading_back._PATHS_AT_ONCE", 2)  # fewer than there are files
    push_folder(folder, REPO)
    assert sorted(read) == ["README.md", "ipc2/pipeline.yaml", "ipc2/results.json"]


@pytest.mark.parametrize(
    ("name", "how", "says"),
    [
        ("ipc2/distilled.safetensors", "flip", "distilled.safetensors as read back from .* is not what was pushed"),
        ("ipc2/distilled.safetensors", "lose", "lacks ipc2/distilled.safetensors"),
        ("ipc2/results.json", "flip", "results.json as read back from .* is not what was pushed"),
        ("ipc2/results.json", "lose", "lacks ipc2/results.json"),
    ],
)
def test_what_comes_back_is_compared(hub, here, folder, monkeypatch, read, name, how, says):
    send = HfApi.create_commit

    def tampered(api, repo, operations, **more):
        kept = [operation for operation in operations if operation.path_in_repo != name]
        if how == "flip":
            data = bytearray((folder / name).read_bytes())
            data[-1] ^= 1
            kept.append(CommitOperationAdd(name, bytes(data)))
        return send(api, repo, kept, **more)

    monkeypatch.setattr(HfApi, "create_commit", tampered)
    with pytest.raises(PublishError, match=f"{says}.* --repo-id {REPO}$"):
        push_folder(folder, REPO)
    assert "ipc2/distilled.safetensors" not in read


def test_a_second_push_keeps_what_people_did_and_drops_what_is_stale(tmp_path, hub, here, folder):
    push_folder(folder, REPO)
    text = card_on(hub, tmp_path).content
    text = text.replace("license: cc-by-4.0\n", "license: mit\nlanguage:\n- en\n").replace(
        "- synthetic\n", "- synthetic\n- mine\n"
    )
    upload(hub, "README.md", text + "\n## Seen on the Hub\n\nVery nice.\n")
    upload(hub, "notes.txt", "mine")
    upload(hub, "ipc2/data/train-00000-of-00002.parquet", "stale")
    upload(hub, "ipc2/data/extra.csv", "mine too")
    local = (folder / "README.md").read_text()
    (folder / "README.md").write_text(local + "\n## Written here\n\nAlso nice.\n")
    write_data(folder / "ipc2", noise_set(seed=1))
    push_folder(folder, REPO, replace=True)
    card = card_on(hub, tmp_path)
    assert card.data.license == "mit"
    assert card.data.language == ["en"]
    assert "mine" in card.data.tags
    assert [info["splits"][0]["num_examples"] for info in card.data.dataset_info] == [24, 6]
    assert card.text.count("Very nice.") == card.text.count("Also nice.") == card.text.count("# insects distilled") == 1
    assert {"notes.txt", "ipc2/data/extra.csv"} <= remote_files(hub)
    assert "ipc2/data/train-00000-of-00002.parquet" not in remote_files(hub)
    assert (folder / "README.md").read_text() == card.content
    before = commits(hub)
    push_folder(folder, REPO)  # nothing has changed: nothing is committed
    assert commits(hub) == before


CHECK = (
    START
    + """
import os
write, read = sys.argv[1], sys.argv[2]
def check(repo, token=write, **more):
    return said(lambda: check_can_push(repo, token=token, default_name="insects-ncfm", name="ipc2", **more))
found = {
    "own": check(None), "bare": check("short"), "full": check("ada/x"),
    "elsewhere": check("bob/x"), "spelling": check("ada/a b"), "read": check(None, read),
    "wrong": check(None, "wrong-token-0123456789"), "foreign": check("ada/foreign"), "configs": check("ada/configs"),
    "empty": check("ada/empty"), "ours": check("ada/ours"), "model": check("ada/foreign", repo_type="model"),
    "none": check(None, None), "public": check("ada/ours", private=True), "hidden": check("ada/hidden", private=True),
}
huggingface_hub.constants.HF_HUB_OFFLINE = True
found["offline"] = check(None)
answer(found)
"""
)


def test_permission_is_asked_before_anything_is_made(hub, client):
    api = hub.api()
    for name in ("foreign", "configs", "empty", "ours"):
        api.create_repo(f"ada/{name}", repo_type="dataset")
    upload(hub, "ipc2/data/train-00000-of-00001.parquet", "someone's", "ada/foreign")
    upload(hub, "README.md", "---\nconfigs:\n- config_name: default\n  data_files: data/*\n---\n", "ada/configs")
    upload(hub, "distilled.safetensors", "an earlier push", "ada/ours")
    environment = {"HF_ENDPOINT": hub.env["HF_ENDPOINT"]}
    found = client(CHECK, environment, hub.env["HF_TOKEN"], hub.reader["HF_TOKEN"])
    assert found["own"] == REPO
    assert found["bare"] == "ada/short"
    assert found["full"] == "ada/x"
    assert found["empty"] == "ada/empty"
    assert found["ours"] == "ada/ours"
    assert found["model"] == "ada/foreign"
    assert found["hidden"] == "ada/hidden"
    refusals = {
        "elsewhere": "ada may not write under 'bob'",
        "spelling": "'ada/a b' is not the name of a repository",
        "read": "the token may only read",
        "wrong": "refused the token; log in with `hf auth login`",
        "foreign": "ada/foreign already holds something else (the file ipc2/data/train-00000-of-00001.parquet)",
        "configs": "ada/configs already holds something else (a config 'default' of its own)",
        "public": "ada/ours exists and is public",
        "none": "a push needs a token of the Hub: run `hf auth login`",
        "offline": "nothing can be pushed while HF_HUB_OFFLINE is set",
    }
    for case, says in refusals.items():
        assert says in found[case], case
        assert found[case].startswith("PublishError: ")
        assert "\n" not in found[case]
    text = str(found)
    for secret in (hub.env["HF_TOKEN"], hub.reader["HF_TOKEN"], "wrong-token"):
        assert secret not in text
    assert {repo.id for repo in api.list_datasets()} == {"ada/foreign", "ada/configs", "ada/empty", "ada/ours"}


def test_a_hub_that_is_not_there_is_said_at_once(client):
    code = START + "answer(said(lambda: check_can_push(None, token='some-token', default_name='x')))"
    found = client(code, {"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert found.startswith("PublishError: cannot reach the Hub at http://127.0.0.1:9")


def test_a_push_refuses_what_others_own_and_never_publishes_what_should_be_private(hub, here, folder):
    api = hub.api()
    for name in ("open", "foreign"):
        api.create_repo(f"ada/{name}", repo_type="dataset")
    upload(hub, "ipc2/pipeline.yaml", "theirs", "ada/foreign")
    push_folder(folder, "ada/secret", private=True)
    assert api.repo_info("ada/secret", repo_type="dataset").private
    push_folder(folder, "ada/secret")
    with pytest.raises(PublishError, match=r"ada/open exists and is public.*--repo-id ada/open --private$"):
        push_folder(folder, "ada/open", private=True)
    assert remote_files(hub, "ada/open") == set()
    with pytest.raises(PublishError, match=r"ada/foreign already holds something else \(the file ipc2/pipeline.yaml\)"):
        push_folder(folder, "ada/foreign")
    assert remote_files(hub, "ada/foreign") == {"ipc2/pipeline.yaml"}


def test_a_pool_goes_to_a_model_repository_and_drops_members_it_no_longer_has(tmp_path, hub, here):
    for count in (2, 1):
        pool = write_pool(tmp_path / f"pool{count}", count)
        assert push_folder(pool, "ada/pool", repo_type="model").url == f"{hub.hub.url}/ada/pool"
        weights = {f"{n:02d}-{which}.safetensors" for n in range(count) for which in ("init", "trained")}
        assert remote_files(hub, "ada/pool", "model") == {
            *("pool.json", "README.md", "model.safetensors", "config.json"),
            *weights,
        }
    assert '"hf-hub:ada/pool"' in (pool / "README.md").read_text()
