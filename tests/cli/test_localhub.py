"""`ncfm-hub localhub`: two lines to export, and a hub that real clients talk to until it is interrupted."""

import json
import os
import signal
import subprocess
import sys

import pytest
from huggingface_hub import HfApi

from ncfm_hub.localhub import User, running


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start the command on a free port; what is still running at the end is stopped."""
    started = []
    monkeypatch.setenv("HOME", str(tmp_path))

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ncfm_hub", "localhub", "--root", str(tmp_path / "hub"), "--port", "0"]
        process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_what_it_prints_logs_a_client_in_and_an_interrupt_ends_it(serve):
    process = serve()
    lines = [process.stdout.readline().strip() for _ in range(2)]
    settings = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    assert list(settings) == ["HF_ENDPOINT", "HF_TOKEN"]
    assert settings["HF_ENDPOINT"].startswith("http://127.0.0.1:")
    assert HfApi(endpoint=settings["HF_ENDPOINT"], token=settings["HF_TOKEN"]).whoami()["name"] == "local"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert "Traceback" not in process.stderr.read()


def test_a_hub_whose_tokens_are_not_known_tells_its_address_only(serve, tmp_path):
    with running(tmp_path / "hub", users=[User("ada", "secret-of-ada", "write")]):
        pass
    exports = json.loads(serve("--format", "json").stdout.readline())
    assert list(exports) == ["HF_ENDPOINT"]


def test_a_taken_port_is_one_line(cli, hub, tmp_path):
    port = hub.hub.url.rpartition(":")[2]
    result = cli("localhub", "--root", tmp_path / "other", "--port", port)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: cannot listen on 127.0.0.1 port ")
    assert len(result.stderr.splitlines()) == 1
