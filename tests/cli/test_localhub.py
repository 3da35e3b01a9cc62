"""`ncfm-hub localhub`: lines to export, users with tokens in files, and a hub that real clients talk to."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from ncfm_hub.localhub import User, running


@pytest.fixture
def root(tmp_path):
    return tmp_path / "ada's hub"  # what a shell must not take apart


@pytest.fixture
def serve(root, tmp_path, monkeypatch):
    """Start the command on a free port; what is still running at the end is stopped."""
    started = []
    monkeypatch.setenv("HOME", str(tmp_path))

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ncfm_hub", "localhub", "--root", str(root), "--port", "0"]
        process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _logged_in(lines: list[str]) -> HfApi:
    """A client with what a shell holds once it has taken in `lines`."""
    script = "".join([*lines, 'printf "%s\\n" "$HF_ENDPOINT" "$HF_TOKEN"'])
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    endpoint, token = shell.stdout.splitlines()
    return HfApi(endpoint=endpoint, token=token)


def _clients(process: subprocess.Popen[str]) -> list[HfApi]:
    """One client for each user that the command names as JSON, in that order."""
    told = json.loads(process.stdout.readline())
    return [
        HfApi(endpoint=told["HF_ENDPOINT"], token=Path(user["token_file"]).read_text().strip())
        for user in told["users"]
    ]


def _end(process: subprocess.Popen[str]) -> str:
    """Interrupt the command; all that it had still to say."""
    process.send_signal(signal.SIGINT)
    said = "".join(process.communicate(timeout=20))
    assert process.returncode == 0
    return said


def test_what_it_prints_logs_a_client_in_and_an_interrupt_ends_it(serve, root):
    process = serve()
    lines = [process.stdout.readline() for _ in range(2)]
    api = _logged_in(lines)
    assert api.endpoint.startswith("http://127.0.0.1:")
    assert api.whoami()["name"] == "local"
    assert (root / "token").read_text() == f"{api.token}\n"
    said = "".join(lines) + _end(process)
    assert api.token not in said
    assert "Traceback" not in said


def test_one_user_is_exported_and_the_others_are_comments(serve):
    process = serve("--user", "bob:read", "--user", "ada", "--user", "ada:read")
    lines = [process.stdout.readline() for _ in range(4)]
    assert [line.startswith("# or: export HF_TOKEN=") for line in lines] == [False, False, True, True]
    ada, bob = _logged_in(lines), _logged_in([*lines, lines[2].removeprefix("# or: ")])
    assert (ada.whoami()["name"], bob.whoami()["name"]) == ("ada", "bob"), "first of all, one who may write"
    said = "".join(lines) + _end(process)
    assert ada.token not in said
    assert bob.token not in said


def test_a_token_to_read_shows_the_private_repository_and_changes_nothing(serve, root, tmp_path):
    process = serve("--user", "ada", "--user", "bob:write", "--user", "bob:read", "--format", "json")
    ada, bob, reader = _clients(process)
    assert {path.stat().st_mode & 0o777 for path in (root / "tokens").iterdir()} == {0o600}
    notes = {"repo_id": "bob/notes", "repo_type": "dataset"}
    bob.create_repo(**notes, private=True)
    bob.upload_file(**notes, path_or_fileobj=b"text", path_in_repo="a.txt")
    assert Path(reader.hf_hub_download(**notes, filename="a.txt", local_dir=tmp_path / "got")).read_bytes() == b"text"
    with pytest.raises(HfHubHTTPError) as refused:
        reader.upload_file(**notes, path_or_fileobj=b"more", path_in_repo="b.txt")
    assert refused.value.response.status_code == 403
    with pytest.raises(RepositoryNotFoundError):
        ada.repo_info(**notes)
    _end(process)
    again = serve("--format", "json")
    assert {api.token for api in _clients(again)} == {ada.token, bob.token, reader.token}


def test_a_token_whose_file_is_lost_is_made_anew(serve, root):
    process = serve("--format", "json")
    (lost,) = _clients(process)
    _end(process)
    (root / "token").unlink()
    (found,) = _clients(serve("--format", "json"))
    assert found.whoami()["name"] == "local"
    assert found.token != lost.token


def test_a_hub_whose_tokens_are_not_known_tells_its_address_only(serve, root):
    with running(root, users=[User("ada", "secret-of-ada", "write")]):
        pass
    told = json.loads(serve("--format", "json").stdout.readline())
    assert list(told) == ["HF_ENDPOINT", "users"]
    assert told["users"] == []


@pytest.mark.parametrize(("user", "status"), [("ada:admin", 2), ("ada:", 2), ("../ada", 1), ("", 1), ("/ada:read", 1)])
def test_users_that_cannot_be(invoke, root, tmp_path, user, status):
    result = invoke("localhub", "--root", root, "--port", "0", "--user", "bob", "--user", user)
    assert result.exit_code == status
    assert repr(user.partition(":")[0])[:-1] in result.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(("token", "-read", "-write"))]


def test_a_taken_port_is_one_line(cli, hub, tmp_path):
    port = hub.hub.url.rpartition(":")[2]
    result = cli("localhub", "--root", tmp_path / "other", "--port", port)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: cannot listen on 127.0.0.1 port ")
    assert len(result.stderr.splitlines()) == 1
