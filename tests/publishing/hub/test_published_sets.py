"""Several distilled datasets in one repository: each is added, replaced and loaded by its name."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ncfm_hub
from ncfm_hub.errors import PublishError, ReplaceNeeded
from ncfm_hub.publishing import push_folder
from ncfm_hub.publishing.cards.merging import parse_card
from tests.publishing.conftest import typed
from tests.publishing.dataset.test_published_data import LOAD, check_loaded
from tests.publishing.hub.test_published_push import REPO, card_on, commits, remote_files, upload
from tests.publishing.noise_sets import measured, noise_set, write_folder, write_former

FILES = ("distilled.safetensors", "pipeline.yaml", "results.json", "preview.png")
SHARD = "train-00000-of-00001.parquet"


def files_of(*names: str) -> set[str]:
    shards = [f"{directory}/{SHARD}" for directory in ("data", "stored")]
    return {f"{name}/{file}" for name in names for file in (*FILES, *shards)}


def of_ipc(root: Path, ipc: int, **more) -> Path:
    return write_folder(root, noise_set(ipc=ipc), measured(("random", "hard", 30.0), ("distilled", "hard", 50.0 + ipc)))


def header_of(hub, tmp_path: Path) -> dict:
    return parse_card(card_on(hub, tmp_path).content).header


def contents(hub, start: str) -> dict[str, str]:
    """The ids of the contents of files whose path begins so."""
    siblings = hub.api().dataset_info(REPO, files_metadata=True).siblings
    return {file.rfilename: file.blob_id for file in siblings if file.rfilename.startswith(start)}


def named(header: dict) -> list[str]:
    return [entry["config_name"] for entry in header["configs"]]


def test_three_pushed_at_once_all_stand_and_are_loaded_by_plain_datasets(hub, here, client, tmp_path):
    """Each push reads the repository, merges its card and tries again where another one was first."""
    folders = [of_ipc(tmp_path / str(ipc), ipc) for ipc in (1, 2, 10)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda folder: push_folder(folder, REPO), folders))
    assert commits(hub) == 4
    assert remote_files(hub) == {"README.md", "accuracy-over-ipc.png"} | files_of("ipc1", "ipc2", "ipc10")
    for ipc in (1, 2, 10):
        check = noise_set(ipc=ipc)
        found = client(LOAD, hub.env, REPO, f"ipc{ipc}", ours=False)
        check_loaded(found, check)
    header = header_of(hub, tmp_path)
    assert named(header) == [name for ipc in (1, 2, 10) for name in (f"ipc{ipc}", f"ipc{ipc}_stored")]
    assert sum(entry.get("default", False) for entry in header["configs"]) == 1
    text = card_on(hub, tmp_path).text
    for ipc, images in ((1, 12), (2, 24), (10, 120)):
        assert f"| `ipc{ipc}` | {ipc} | {images} | hard | 5 | {50 + ipc}.0 | 0.3 | 30.0 |" in text
        assert text.count(f"<summary>ipc{ipc}: ") == 1
    assert "](accuracy-over-ipc.png)" in text
    for ipc in (1, 2, 10):
        assert ncfm_hub.load_distilled(REPO, f"ipc{ipc}").digest == noise_set(ipc=ipc).digest
        assert ncfm_hub.load_distilled(f"{REPO}/ipc{ipc}").ipc == ipc


@pytest.mark.slow
@pytest.mark.parametrize("shells", [2, 4])
def test_pushed_at_once_from_several_shells_all_stand(hub, cli, client, tmp_path, shells):
    ipcs = (1, 2, 5, 10)[:shells]
    folders = [of_ipc(tmp_path / str(ipc), ipc) for ipc in ipcs]
    with ThreadPoolExecutor(shells) as pool:
        ended = list(pool.map(lambda folder: cli("push", folder, "--repo-id", REPO, env=hub.env), folders))
    assert [one.returncode for one in ended] == [0] * shells, [one.stderr for one in ended]
    assert commits(hub) == shells + 1
    assert remote_files(hub) == {"README.md", "accuracy-over-ipc.png"} | files_of(*(f"ipc{ipc}" for ipc in ipcs))
    anyone = {"HF_ENDPOINT": hub.env["HF_ENDPOINT"]}  # with a home of its own, and no token
    for ipc in ipcs:
        check_loaded(client(LOAD, anyone, REPO, f"ipc{ipc}", ours=False), noise_set(ipc=ipc))


def test_each_folder_keeps_the_card_of_what_it_holds(hub, here, tmp_path):
    one, two = of_ipc(tmp_path / "one", 1), of_ipc(tmp_path / "two", 2)
    push_folder(one, REPO)
    assert (one / "README.md").read_text() == card_on(hub, tmp_path).content
    upload(hub, "README.md", card_on(hub, tmp_path).content + "\nSeen on the Hub.\n")
    push_folder(two, REPO)
    local = parse_card((two / "README.md").read_text())
    assert named(local.header) == ["ipc2", "ipc2_stored"]
    assert local.after.strip() == "Seen on the Hub."
    of_ipc(one, 2)
    push_folder(one, REPO)
    assert (one / "README.md").read_text() == card_on(hub, tmp_path).content
    assert (one / "accuracy-over-ipc.png").is_file()


def test_the_first_is_the_default_until_another_is_named(hub, here, tmp_path):
    push_folder(of_ipc(tmp_path / "two", 2), REPO)
    push_folder(of_ipc(tmp_path / "one", 1), REPO)

    def default() -> list[str]:
        return [entry["config_name"] for entry in header_of(hub, tmp_path)["configs"] if entry.get("default")]

    assert default() == ["ipc2"]
    with pytest.raises(PublishError, match="--default 'ipc7' is none of ipc1, ipc2"):
        push_folder(tmp_path / "one", REPO, default="ipc7")
    push_folder(tmp_path / "one", REPO, default="ipc1")
    assert default() == ["ipc1"]
    assert ncfm_hub.load_distilled(REPO).ipc == 1
    push_folder(tmp_path / "two", REPO)
    assert default() == ["ipc1"], "kept until another is named"


def test_one_is_replaced_alone_and_takes_along_nothing_stale(hub, here, tmp_path):
    both = of_ipc(of_ipc(tmp_path / "both", 1), 2)
    push_folder(both, REPO)
    for name in (f"ipc2/data/{SHARD.replace('1.p', '2.p')}", "ipc2/results-1.json", "ipc2/nas.json", "ipc2/nas.png"):
        upload(hub, name, "stale")
        upload(hub, name.replace("ipc2", "ipc1"), "of another")
    others = contents(hub, "ipc1/")
    again = write_folder(tmp_path / "again", noise_set(seed=1))
    with pytest.raises(ReplaceNeeded, match=rf"^{REPO} holds ipc2 already .*--name.*--replace$"):
        push_folder(again, REPO)
    push_folder(again, REPO, replace=True)
    left = remote_files(hub)
    assert {name for name in left if name.startswith("ipc2/")} == files_of("ipc2")
    assert contents(hub, "ipc1/") == others
    assert ncfm_hub.load_distilled(REPO, "ipc2").digest == noise_set(seed=1).digest


def test_the_plot_goes_with_the_last_but_one(hub, here, tmp_path):
    """Of one number of images per class there is nothing to draw."""
    push_folder(of_ipc(tmp_path / "one", 1), REPO)
    assert "accuracy-over-ipc.png" not in remote_files(hub)
    unmeasured = write_folder(tmp_path / "two", noise_set(), {"rows": []})
    push_folder(unmeasured, REPO)
    assert "accuracy-over-ipc.png" not in remote_files(hub)


def test_the_same_name_asks_and_yes_answers(hub, here, tmp_path):
    push_folder(write_folder(tmp_path / "one", noise_set()), REPO)
    again = write_folder(tmp_path / "again", noise_set(seed=1))
    command = f"ncfm-hub push {again} --repo-id {REPO}"
    refused = typed(command)
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1].endswith(f"with: {command} --replace")
    assert typed(f"{command} -y").exit_code == 0
    assert ncfm_hub.load_distilled(REPO).digest == noise_set(seed=1).digest
    another = write_folder(tmp_path / "another", noise_set(ipc=1), name="ipc2")
    assert typed(f"ncfm-hub push {another} --repo-id {REPO} -y").exit_code == 1, "needs --replace"


def test_another_source_is_not_mixed_in(hub, here, tmp_path):
    push_folder(of_ipc(tmp_path / "one", 1), REPO)
    other = write_folder(tmp_path / "other", noise_set(), dataset="other/birds", fingerprint="beef")
    for replace in (False, True):
        with pytest.raises(PublishError, match="in one repository share a source"):
            push_folder(other, REPO, replace=replace)


def test_one_of_several_is_pushed_alone(hub, here, tmp_path):
    both = of_ipc(of_ipc(tmp_path / "both", 1), 2)
    (both / "ipc10" / ".ncfm").mkdir(parents=True)
    push_folder(both / "ipc1", REPO)
    assert remote_files(hub) == {"README.md"} | files_of("ipc1")
    push_folder(both, REPO, progress=here)
    assert remote_files(hub) == {"README.md", "accuracy-over-ipc.png"} | files_of("ipc1", "ipc2")
    assert here.lines[0] == f"{both / 'ipc10'} is not pushed: it is unfinished"


# --- the former layout -------------------------------------------------------------------------------------------


@pytest.fixture
def former(hub, here, tmp_path) -> Path:
    """A repository as it was pushed until now, with a file of the user."""
    folder = write_former(tmp_path / "former", noise_set(), measured(("distilled", "hard", 60.0)))
    (folder / "notes.txt").write_text("mine")
    hub.api().create_repo(REPO, repo_type="dataset")
    hub.api().upload_folder(repo_id=REPO, repo_type="dataset", folder_path=folder)
    return folder


def test_a_repository_of_the_former_layout_is_read(hub, former):
    assert ncfm_hub.load_distilled(REPO).digest == noise_set().digest
    assert ncfm_hub.load_distilled(REPO, "ipc2").digest == noise_set().digest


def test_and_converted_by_the_next_push(hub, here, former, client, tmp_path):
    push_folder(of_ipc(tmp_path / "one", 1), REPO)
    assert remote_files(hub) == {"README.md", "accuracy-over-ipc.png", "notes.txt"} | files_of("ipc1", "ipc2")
    header = header_of(hub, tmp_path)
    assert named(header) == ["ipc1", "ipc1_stored", "ipc2", "ipc2_stored"]
    assert [entry["config_name"] for entry in header["configs"] if entry.get("default")] == ["ipc2"], "as it was loaded"
    assert "Written by a person." in card_on(hub, tmp_path).text
    for ipc in (1, 2):
        check_loaded(client(LOAD, hub.env, REPO, f"ipc{ipc}", ours=False), noise_set(ipc=ipc))


def test_and_so_is_its_folder(hub, here, former, tmp_path):
    push_folder(former, REPO, progress=here)
    assert here.lines[0] == f"{former} had the former layout; its distilled dataset lies in {former / 'ipc2'} now"
    assert remote_files(hub) == {"README.md", "notes.txt"} | files_of("ipc2")
    assert named(header_of(hub, tmp_path)) == ["ipc2", "ipc2_stored"]
    again = write_folder(tmp_path / "again", noise_set(seed=1))
    push_folder(again, REPO, replace=True)
    assert remote_files(hub) == {"README.md", "notes.txt"} | files_of("ipc2")


def test_the_same_name_asks_there_too(hub, here, former, tmp_path):
    again = write_folder(tmp_path / "again", noise_set(seed=1))
    with pytest.raises(ReplaceNeeded, match="holds ipc2 already"):
        push_folder(again, REPO)
    push_folder(again, REPO, replace=True)
    assert remote_files(hub) == {"README.md", "notes.txt"} | files_of("ipc2")
    assert ncfm_hub.load_distilled(REPO).digest == noise_set(seed=1).digest
