"""Pushing to a Hub that hangs, stops half-way or is full: retried or given up in time; the suggested command works."""

import pytest

from tests.publishing.hub.test_published_push import START, remote_files
from tests.publishing.noise_sets import noise_set, write_folder

HASTE = (
    START
    + """
from ncfm_hub.utils import waiting
patience.CEILING, patience.NOTE_SECONDS, waiting.WRITE_SECONDS = 6.0, 0.1, 0.3
from huggingface_hub import constants
constants.HF_HUB_DOWNLOAD_TIMEOUT = constants.HF_HUB_ETAG_TIMEOUT = 0.3
def push(folder, repo):
    notes, started = Notes(), time.monotonic()
    found = said(lambda: push_folder(Path(folder), repo, progress=notes).revision)
    return [found, notes.lines, time.monotonic() - started]
"""
).replace("import dataclasses", "import dataclasses, time")


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "a set", noise_set())


def test_a_hub_that_hangs_once_at_every_request_of_a_push_gets_it_in_the_end(hub, client, folder):
    requests = (
        ("GET", "/api/datasets/ada/x", "hang"),
        ("POST", "/api/repos/create", "hang"),
        ("POST", "/preupload/", "hang"),
        ("POST", ".git/info/lfs/", "hang"),
        ("PUT", "/_lfs/", "hang"),
        ("POST", "/commit/", "hang"),
        ("HEAD", "/resolve/", "hang"),
        ("GET", "/ipc2/data/train-", "hang"),
        ("GET", "/resolve/", "stall"),
    )
    for request in requests:
        hub.hub.inject(*request)
    code = HASTE + "patience.CEILING = 60.0\nanswer(push(sys.argv[1], 'ada/x'))"
    revision, notes, _ = client(code, hub.env, folder)
    assert hub.api().repo_info("ada/x", repo_type="dataset").sha == revision
    for method, path, _ in requests[:-1]:
        assert any(line.startswith("waiting for") and method in line and path in line for line in notes), path


def test_a_hub_that_stays_silent_is_given_up_and_the_command_works_later(hub, client, folder):
    hub.hub.inject("POST", "/commit/", "hang", times=2)
    code = """
import shlex
from click.testing import CliRunner
from ncfm_hub.cli import main
hub.TRIES = 2
found = push(sys.argv[1], "ada/x")
patience.CEILING, waiting.WRITE_SECONDS, constants.HF_HUB_DOWNLOAD_TIMEOUT = 120, 60, 10
program, *arguments = shlex.split(found[0].partition("with: ")[2])
again = CliRunner().invoke(main, arguments)
answer([*found, program, again.exit_code, again.output])
"""
    found, notes, seconds, program, code, output = client(HASTE + code, hub.env, folder)
    assert found.startswith(f"PublishError: ada/x: cannot reach the Hub at {hub.hub.url} (")
    assert seconds < 15
    waited = [line for line in notes if line.startswith(f"waiting for {hub.hub.url} to answer: POST ")]
    assert len(waited) == 2
    assert program == "ncfm-hub"
    assert code == 0, output
    assert "ipc2/distilled.safetensors" in remote_files(hub, "ada/x")


@pytest.mark.parametrize("request_", [("PUT", "/_lfs/"), ("POST", "/commit/")])
def test_a_full_hub_is_final_at_once(hub, client, folder, request_):
    hub.hub.inject(*request_, 507, times=100)
    found, notes, seconds = client(HASTE + "answer(push(sys.argv[1], 'ada/x'))", hub.env, folder)
    assert found.startswith("PublishError: ada/x: the Hub answered 507 (")
    assert not [line for line in notes if "trying again" in line]
    assert seconds < 30
