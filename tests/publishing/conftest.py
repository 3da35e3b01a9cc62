"""Hub clients in processes of their own: they read HF_ENDPOINT and HF_HOME when they are imported."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
        done = subprocess.run(
            [sys.executable, "-c", prologue + code, *map(str, arguments)],
            env=kept | own | (env or {}),
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        token = (env or {}).get("HF_TOKEN")
        assert not token or token not in done.stdout + done.stderr
        return json.loads(done.stdout.rpartition("ANSWER")[2])

    return run
