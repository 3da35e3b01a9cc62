"""Where the commit of a push goes: a branch, a tag, a pull request; and its message."""

import shlex
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from ncfm_hub.errors import PublishError, ReplaceNeeded
from ncfm_hub.localhub import User, running
from ncfm_hub.publishing import check_can_push, push_command, push_folder
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.hub.held import Held
from ncfm_hub.utils.commit_options import CommitOptions
from tests.publishing.conftest import typed
from tests.publishing.hub.test_published_push import REPO, remote_files, upload
from tests.publishing.noise_sets import noise_set, write_folder, write_pool

MINE = {"repo_type": "dataset"}


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "a set", noise_set())


def head(hub, revision: str = "main") -> str:
    return hub.api().dataset_info(REPO, revision=revision).sha


def files(hub, revision: str) -> set[str]:
    return set(hub.api().list_repo_files(REPO, revision=revision, **MINE)) - {".gitattributes"}


def tops(names: set[str]) -> set[str]:
    return {name.partition("/")[0] for name in names}


def tags(hub) -> dict[str, str]:
    return {ref.name: ref.target_commit for ref in hub.api().list_repo_refs(REPO, **MINE).tags}


def refused(folder: Path, commit: CommitOptions, **more) -> str:
    with pytest.raises(PublishError) as found:
        push_folder(folder, REPO, commit=commit, **more)
    assert "\n" not in str(found.value)
    return str(found.value)


# --- branches ----------------------------------------------------------------------------------------------------


def test_a_branch_is_made_from_main_and_main_stays(hub, here, tmp_path, folder):
    push_folder(folder, REPO)
    before = head(hub)
    other = write_folder(tmp_path / "other", noise_set(ipc=1))
    made = push_folder(other, REPO, commit=CommitOptions(branch="exp/one", message="IPC 1, another recipe"))
    assert (made.branch, made.revision) == ("exp/one", head(hub, "exp/one"))
    assert head(hub) == before
    assert tops(files(hub, "exp/one")) == {"README.md", "accuracy-over-ipc.png", "ipc1", "ipc2"}
    assert tops(remote_files(hub)) == {"README.md", "ipc2"}
    history = hub.api().list_repo_commits(REPO, revision="exp/one", **MINE)
    assert [commit.title for commit in history[:2]] == ["IPC 1, another recipe", "Upload with ncfm-hub"]


def test_a_new_repository_gets_the_branch_too(hub, here, folder):
    push_folder(folder, REPO, commit=CommitOptions(branch="dev"))
    assert remote_files(hub) == set()
    assert "ipc2/distilled.safetensors" in files(hub, "dev")


def test_what_a_branch_holds_is_merged_and_asked_about(hub, here, tmp_path, folder):
    """And a commit on it meanwhile: the next attempt sees the new head."""
    dev = CommitOptions(branch="dev")
    push_folder(folder, REPO, commit=dev)
    push_folder(write_folder(tmp_path / "main", noise_set(seed=2)), REPO)
    again = write_folder(tmp_path / "again", noise_set(seed=1))
    with pytest.raises(ReplaceNeeded, match=r"holds ipc2 already .* with: .* --replace --branch dev$"):
        push_folder(again, REPO, commit=dev)
    hub.hub.inject("POST", f"/{REPO}/commit/dev", 412)
    made = push_folder(again, REPO, commit=dev, replace=True, progress=here)
    assert made.revision == head(hub, "dev")
    assert [line for line in here.lines if "trying again" in line]
    for revision, seed in (("main", 2), ("dev", 1)):
        found = hub.api().snapshot_download(REPO, revision=revision, local_dir=tmp_path / revision, **MINE)
        assert read_data(Path(found) / "ipc2").digest == noise_set(seed=seed).digest


def test_a_tag_is_no_branch(hub, here, folder):
    push_folder(folder, REPO)
    hub.api().create_tag(REPO, tag="v1", **MINE)
    assert f"v1 is a tag of {REPO}" in refused(folder, CommitOptions(branch="v1"))


# --- tags --------------------------------------------------------------------------------------------------------


def test_the_tag_is_set_after_the_commit_was_read_back(hub, here, folder, monkeypatch):
    order = []
    for name in ("get_paths_info", "create_tag"):
        done = getattr(HfApi, name)
        monkeypatch.setattr(
            HfApi, name, lambda *args, name=name, done=done, **more: order.append(name) or done(*args, **more)
        )
    made = push_folder(folder, REPO, commit=CommitOptions(tag="v1"))
    assert order[0] == "get_paths_info"
    assert order[-1] == "create_tag"
    assert tags(hub) == {"v1": made.revision}
    assert made.tag == "v1"


def test_a_tag_on_another_commit_is_refused_before_anything_is_uploaded(hub, here, tmp_path, folder, monkeypatch):
    v1 = CommitOptions(tag="v1")
    first = push_folder(folder, REPO, commit=v1)
    push_folder(folder, REPO, commit=v1)  # nothing has changed, so the tag is where it belongs
    other = write_folder(tmp_path / "other", noise_set(ipc=1))
    monkeypatch.setattr(HfApi, "create_commit", lambda *_, **__: pytest.fail("something was uploaded"))
    said = f"{REPO} has the tag v1 already, on commit {first.revision[:12]}; choose another by --tag"
    assert said in refused(other, v1)
    upload_nothing = head(hub)
    held = Held("some/insects", True, "f00d", ("ant", "bee", "cat"), ipc=1)
    with pytest.raises(PublishError, match="has the tag v1 already"):
        check_can_push(REPO, default_name="x", name="ipc1", coming=held, commit=v1)
    assert check_can_push(REPO, default_name="x", name="ipc1", coming=held, commit=CommitOptions(tag="v2")) == REPO
    assert (head(hub), tags(hub)) == (upload_nothing, {"v1": first.revision})


def test_a_tag_of_an_earlier_commit_is_refused_though_nothing_would_change(hub, here, folder):
    push_folder(folder, REPO, commit=CommitOptions(tag="v1"))
    upload(hub, "notes.txt", "mine")
    assert "has the tag v1 already" in refused(folder, CommitOptions(tag="v1"))


def test_the_printed_command_sets_a_tag_that_failed(hub, here, folder):
    hub.hub.inject("POST", f"/{REPO}/tag/", 501)
    line = refused(folder, CommitOptions(tag="v1", message="one of two"))
    assert f"{REPO} is published at revision {head(hub)}, compare it again with: " in line
    assert line.endswith(shlex.join(["--commit-message", "one of two", "--tag", "v1"]))
    assert tags(hub) == {}
    again = typed(line.partition(" again with: ")[2])
    assert again.exit_code == 0, again.stderr
    assert tags(hub) == {"v1": head(hub)}


# --- pull requests -----------------------------------------------------------------------------------------------

PROPOSED = CommitOptions(create_pr=True)


def test_a_pull_request_is_opened_read_back_and_merged(hub, here, tmp_path, folder):
    push_folder(folder, REPO)
    before = head(hub)
    other = write_folder(tmp_path / "other", noise_set(ipc=1))
    made = push_folder(other, REPO, commit=CommitOptions(create_pr=True, message="IPC 1"), progress=here)
    assert made.pull_request == f"{hub.hub.url}/datasets/{REPO}/discussions/1"
    assert (made.branch, made.revision) == ("refs/pr/1", head(hub, "refs/pr/1"))
    assert f"reading {REPO} back" in here.lines
    assert head(hub) == before
    assert hub.api().list_repo_commits(REPO, revision="refs/pr/1", **MINE)[1].commit_id == before
    hub.api().merge_pull_request(REPO, 1, **MINE)
    assert tops(remote_files(hub)) == {"README.md", "accuracy-over-ipc.png", "ipc1", "ipc2"}
    assert push_folder(other, REPO, commit=PROPOSED).pull_request is None, "there is nothing to propose"


def test_a_pull_request_grows_and_a_failed_comparison_opens_no_second_one(hub, here, tmp_path, folder, monkeypatch):
    push_folder(folder, REPO)
    other = write_folder(tmp_path / "other", noise_set(ipc=1))
    with monkeypatch.context() as patch:
        patch.setattr(HfApi, "get_paths_info", lambda *_, **__: [])
        line = refused(other, PROPOSED)
    assert line.endswith("--branch refs/pr/1")
    assert typed(line.partition(" again with: ")[2]).exit_code == 0
    third = write_folder(tmp_path / "third", noise_set(ipc=3))
    made = push_folder(third, REPO, commit=CommitOptions(branch="refs/pr/1"))
    assert (made.revision, made.pull_request) == (head(hub, "refs/pr/1"), None)
    assert len(list(hub.api().get_repo_discussions(REPO, **MINE))) == 1
    assert "there is no refs/pr/2 to propose this to" in refused(third, CommitOptions(branch="refs/pr/2"))


def test_after_a_lost_answer_no_second_one_is_opened(hub, here, tmp_path, folder):
    push_folder(folder, REPO)
    hub.hub.inject("POST", f"/{REPO}/commit/", "drop-after")
    line = refused(write_folder(tmp_path / "other", noise_set(ipc=1)), PROPOSED)
    assert f"if {hub.hub.url}/datasets/{REPO}/discussions shows no new pull request, push again with: " in line
    assert line.endswith("--create-pr")
    assert len(list(hub.api().get_repo_discussions(REPO, **MINE))) == 1


def test_a_repository_of_others_is_proposed_to_and_none_is_made(here, tmp_path, folder, monkeypatch):
    users = [User("ada", "ada-may-write"), User("bob", "bob-may-write"), User("bob", "bob-may-read", "read")]
    with running(tmp_path / "lab", users) as lab:
        for constant in ("huggingface_hub.constants.ENDPOINT", "datasets.config.HF_ENDPOINT"):
            monkeypatch.setattr(constant, lab.url)
        address = f"{lab.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)

        def target(token: str, commit: CommitOptions) -> str:
            return check_can_push(REPO, token=token, default_name="x", name="ipc2", commit=commit)

        with pytest.raises(PublishError, match=f"{REPO}: there is no repository to propose this to"):
            target("bob-may-write", PROPOSED)
        with pytest.raises(PublishError, match=f"{REPO}: there is no repository to propose this to"):
            push_folder(folder, REPO, commit=PROPOSED, token="bob-may-write")
        HfApi(token="ada-may-write").create_repo(REPO, **MINE)
        with pytest.raises(PublishError, match="bob may not write under 'ada'"):
            target("bob-may-write", CommitOptions())
        with pytest.raises(PublishError, match="the token may only read"):
            target("bob-may-read", PROPOSED)
        assert target("bob-may-write", PROPOSED) == REPO
        made = push_folder(folder, REPO, commit=PROPOSED, token="bob-may-write")
        assert made.pull_request == f"{lab.url}/datasets/{REPO}/discussions/1"


def test_a_pool_is_proposed_too(hub, here, tmp_path):
    push_folder(write_pool(tmp_path / "two", 2), "ada/pool", repo_type="model")
    made = push_folder(write_pool(tmp_path / "one", 1), "ada/pool", repo_type="model", commit=PROPOSED)
    assert made.pull_request == f"{hub.hub.url}/ada/pool/discussions/1"
    files = hub.api().list_repo_files("ada/pool", revision="refs/pr/1")
    assert "01-init.safetensors" not in files
    assert "01-init.safetensors" in remote_files(hub, "ada/pool", "model")


# --- failures ----------------------------------------------------------------------------------------------------

ON_DEV, AS_PULL = "--branch dev --tag v1", "--create-pr"


@pytest.mark.parametrize(
    ("options", "method", "path"),
    [
        *((ON_DEV, method, path) for method, path in (("GET", "/refs"), ("POST", "/branch/dev"), ("POST", "/tag/"))),
        *(
            (options, "POST", path)
            for options in (ON_DEV, AS_PULL)
            for path in ("/preupload/", "/commit/", "/paths-info/")
        ),
    ],
)
def test_the_command_that_is_printed_goes_on(hub, here, folder, options, method, path):
    hub.api().create_repo(REPO, **MINE)
    push = f"{shlex.join(['ncfm-hub', 'push', str(folder), '--repo-id', REPO])} {options}"
    hub.hub.inject(method, path, 501)
    first = typed(push)
    line = first.stderr.splitlines()[-1]
    assert first.exit_code == 1
    assert "the Hub answered 501" in line
    command = line.partition(" again with: ")[2]
    opened = options == AS_PULL and path == "/paths-info/"
    assert command == (push.replace(AS_PULL, "--branch refs/pr/1") if opened else push)
    again = typed(command)
    assert again.exit_code == 0, again.stderr
    revision = "dev" if options == ON_DEV else "refs/pr/1"
    assert {"ipc2/distilled.safetensors", "README.md"} < files(hub, revision)
    assert tags(hub) == ({"v1": head(hub, "dev")} if options == ON_DEV else {})
    assert len(list(hub.api().get_repo_discussions(REPO, **MINE))) == (options == AS_PULL)


# --- options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        *(
            {"branch": name}
            for name in ("", "a b", "a..b", "-x", "x/", "x.lock", "refs/heads/x", "refs/pr/0", "f" * 40)
        ),
        *({"tag": name} for name in ("v 1", "refs/pr/1", ".v1", "v1.", "v1\n", "0" * 40)),
        {"message": " "},
        {"create_pr": True, "branch": "dev"},
        {"create_pr": True, "tag": "v1"},
    ],
)
def test_options_that_cannot_be_are_refused_at_once(given):
    with pytest.raises(PublishError) as found:
        CommitOptions(**given)
    assert not found.value.again


@pytest.mark.parametrize("name", ["v1", "v1.0", "2026-01", "exp/one", "a+b", "x.locked"])
def test_names_of_branches_and_tags(name):
    assert (CommitOptions(branch=name).branch, CommitOptions(tag=name).tag) == (name, name)


def test_the_command_says_all_options():
    commit = CommitOptions(message="two words", branch="dev", tag="v1")
    command = push_command(Path("x"), "ada/x", private=True, replace=True, commit=commit)
    assert command.endswith("--private --replace --commit-message 'two words' --branch dev --tag v1")
    assert push_command(Path("x"), None, private=False, replace=False, commit=PROPOSED).endswith("push x --create-pr")


def test_the_command_line_says_where_it_went(hub, here, folder):
    made = typed(f"ncfm-hub push {shlex.quote(str(folder))} --repo-id {REPO} --revision dev --tag v1 --format json")
    assert made.exit_code == 0, made.stderr
    assert f'"revision": "{head(hub, "dev")}", "branch": "dev", "tag": "v1", "pull_request": null' in made.stdout
    again = typed(f"ncfm-hub push {shlex.quote(str(folder))} --repo-id {REPO} --create-pr")
    assert f"proposed in  {hub.hub.url}/datasets/{REPO}/discussions/1" in again.stdout
    both = typed(f"ncfm-hub push {shlex.quote(str(folder))} --repo-id {REPO} --create-pr --tag v2")
    assert both.exit_code == 2
    assert "leave out --create-pr or --tag" in both.stderr
