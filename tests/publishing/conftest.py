"""Hub clients in processes of their own, as users have them: they read HF_ENDPOINT and HF_HOME when they are imported.
And, for what a process of its own adds nothing to, this process made to speak to the test's hub.
"""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ncfm_hub.utils.progress import Silent
from tests.children import run_python
from tests.conftest import LiveHub

REPOSITORY = Path(__file__).resolve().parents[2]
Client = Callable[..., Any]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Run code in a process with a home of its own: client(code, env, *arguments) -> what it passed to `answer`.

    ours=False: ncfm_hub cannot be imported there. No token of `env` may appear in what the process prints.
    """
    home = tmp_path / "client-home"
    home.mkdir()

    def run(code: str, env: dict[str, str] | None = None, *arguments: str | Path, ours: bool = True) -> Any:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "NCFM_HUB_", "PYTHONPATH"))}
        own = {"HOME": str(home), "HF_HOME": str(home / "hf"), **({"PYTHONPATH": str(REPOSITORY)} if ours else {})}
        prologue = "import json, sys\ndef answer(value): print('ANSWER' + json.dumps(value))\n"
        if not ours:  # an editable installation is found without PYTHONPATH
            prologue += "sys.modules['ncfm_hub'] = None\n"
        done = run_python(["-c", prologue + code, *arguments], kept | own | (env or {}), home, 120)
        assert done.returncode == 0, done.stderr
        token = (env or {}).get("HF_TOKEN")
        assert not token or token not in done.stdout + done.stderr
        return json.loads(done.stdout.rpartition("ANSWER")[2])

    return run


def typed(command: str) -> Result:
    """What a user gets who types this."""
    from ncfm_hub.cli import main

    program, *arguments = shlex.split(command)
    assert program == "ncfm-hub"
    return CliRunner().invoke(main, arguments, prog_name=program)


class Notes(Silent):
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def here(hub: LiveHub, monkeypatch: pytest.MonkeyPatch) -> Notes:
    """This process speaks to `hub` as ada, who may write, and does not wait long; the notes for `progress=`."""
    for constant in ("huggingface_hub.constants.ENDPOINT", "datasets.config.HF_ENDPOINT"):
        monkeypatch.setattr(constant, hub.hub.url)
    address = f"{hub.hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
    # What the Xet client knows of one hub it keeps for the whole process, and so for the hub of another test.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", hub.env["HF_TOKEN"])
    monkeypatch.setattr("ncfm_hub.utils.hub_client.FIRST_WAIT", 0.02)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")  # which a command sets, for its own process
    return Notes()
