"""Somebody at a terminal: a home and a current folder of their own, and commands as child processes in it."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.children import run_python
from tests.conftest import clean_environment

# Tests run beside each other on few cores: there, threads that wait for each other cost more than they bring. A GPU is
# hidden because bit-identity is promised on the CPU only, and because the preset follows the device.
_SETTINGS = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

_IN_TURN = """
import json, sys
from click.testing import CliRunner
from ncfm_hub.cli import main
from ncfm_hub.planning import timing

timing.SECONDS = 0
ended = {}
for name, words in json.load(sys.stdin).items():
    found = CliRunner().invoke(main, words, prog_name="ncfm-hub")
    ended[name] = (found.exit_code, found.stdout, found.stderr)
print(json.dumps(ended))
"""


@dataclass(frozen=True)
class Person:
    """A user of the command line.

    folder: the current folder; caches and home lie beside it, so that nothing but results appear in it
    settings: environment variables on top of a clean environment
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-home")

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    def environment(self, **settings: str) -> dict[str, str]:
        return clean_environment(self.home) | _SETTINGS | dict(self.settings) | settings

    def start(self, command: list[str | Path], **settings: str) -> subprocess.Popen[str]:
        """Any command, started; both outputs are pipes."""
        return subprocess.Popen(
            list(map(str, command)),
            cwd=self.folder,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: list[str | Path], **settings: str) -> subprocess.CompletedProcess[str]:
        """Any command, to its end."""
        with self.start(command, **settings) as child:
            try:
                out, err = child.communicate(timeout=300)
            finally:
                child.kill()
        return subprocess.CompletedProcess(command, child.returncode, out, err)

    def python(self, *arguments: str | Path, given: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """`python ARGUMENTS`, to its end; they begin with `-m MODULE`, `-c CODE` or a file."""
        return run_python(arguments, self.environment(**settings), self.folder, 300, given)

    def ncfm(self, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """`ncfm-hub ARGUMENTS`, to its end."""
        return self.python("-m", "ncfm_hub", *arguments, **settings)

    def in_one_process(
        self, lines: Mapping[str, Sequence[str]], **settings: str
    ) -> dict[str, subprocess.CompletedProcess[str]]:
        """`ncfm-hub ARGUMENTS` for each of `lines` in turn, by name, whose imports take their time only once."""
        together = self.python("-c", _IN_TURN, given=json.dumps(lines), **settings)
        assert together.returncode == 0, together.stderr
        ended = json.loads(together.stdout).items()
        return {name: subprocess.CompletedProcess(lines[name], *found) for name, found in ended}

    def done(self, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """The same, and it must succeed."""
        ended = self.ncfm(*arguments, **settings)
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
        return ended


def ncfm(*arguments: str | Path) -> list[str | Path]:
    """The command line as a list: `python -m ncfm_hub ARGUMENTS`."""
    return [sys.executable, "-m", "ncfm_hub", *arguments]


def error_line(ended: subprocess.CompletedProcess[str]) -> str:
    """The line in which a failed command says why: the last on stderr, the only one that begins `Error: `.

    Notes may stand before it, but never a traceback, and nothing is on stdout.
    """
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert [line.startswith("Error: ") for line in lines] == [False] * (len(lines) - 1) + [True], ended.stderr
    return lines[-1].removeprefix("Error: ")


MakePerson = Callable[..., Person]


def person_maker(folders: pytest.TempPathFactory) -> MakePerson:
    """make(defaults="", **settings) -> a Person who was never here before, with a file of defaults of their own."""

    def make(defaults: str = "", **settings: str) -> Person:
        person = Person(folders.mktemp("person"), settings)
        person.home.mkdir()
        if not defaults:
            return person
        (person.home / "defaults.yaml").write_text(defaults)
        return Person(person.folder, settings | {"NCFM_HUB_CONFIG": str(person.home / "defaults.yaml")})

    return make
