"""What TAB completes, as Click's scripts for shells ask for it, and that it is quick."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ncfm_hub.cli import main
from ncfm_hub.recipes.builtin import pipeline_names
from tests.cli.test_help import HEAVY


def asked(line: str) -> dict[str, str]:
    """The environment in which bash asks to complete `line` at its end."""
    count = len(line.split(" ")) - 1
    return {"_NCFM_HUB_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(count)}


def completed(line: str) -> list[str]:
    """`KIND,VALUE` of all completions; of kind file and dir the shell makes them itself."""
    found = CliRunner().invoke(main, [], prog_name="ncfm-hub", env=asked(line))
    assert found.stderr == ""
    return found.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ncfm-hub dis", ["plain,distill"]),
        ("ncfm-hub pipelines ", ["plain,copy", "plain,list", "plain,show"]),
        ("ncfm-hub distill --preset ", ["plain,gpu", "plain,cpu", "plain,paper"]),
        ("ncfm-hub distill --preset p", ["plain,paper"]),
        ("ncfm-hub distill --dataset cif", ["file,cif", "plain,cifar10", "plain,cifar100"]),
        ("ncfm-hub distill --dataset ./ph", ["file,./ph"]),
        ("ncfm-hub distill --dataset cifar10 --res", ["plain,--resolution", "plain,--resume", "plain,--restart"]),
        ("ncfm-hub evaluate runs/a --source tiny", ["file,tiny", "plain,tiny-imagenet"]),
        ("ncfm-hub import data.pt --source sv", ["file,sv", "plain,svhn"]),
        ("ncfm-hub pipelines show dig", ["plain,digits"]),
        ("ncfm-hub push ru", ["dir,ru"]),
        *((f"ncfm-hub {command} ru", ["dir,ru"]) for command in ("evaluate", "continual", "nas", "preview", "export")),
        *((f"ncfm-hub {command} one ru", ["dir,ru"]) for command in ("diff", "report", "evaluate")),
        *((f"ncfm-hub {command} --pool ru", ["dir,ru"]) for command in ("distill", "evaluate")),
    ],
)
def test_what_is_completed(line, expected):
    assert completed(line) == expected


def test_all_pipelines_are_offered():
    assert completed("ncfm-hub distill --dataset ") == ["file,", *(f"plain,{name}" for name in pipeline_names())]


def test_bash_keeps_pipelines_beside_files(tmp_path):
    source = CliRunner().invoke(main, [], prog_name="ncfm-hub", env={"_NCFM_HUB_COMPLETE": "bash_source"})
    if "Shell completion is not supported for Bash" in source.stderr:
        pytest.skip("bash is older than 4.4, or not there")
    script = source.stdout
    command = tmp_path / "ncfm-hub"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -m ncfm_hub\n")
    command.chmod(0o755)
    # What bash does for `ncfm-hub distill --dataset cif` and TAB. `compopt` works only when the user presses it.
    script += f"""
        compopt() {{ :; }}
        COMP_WORDS=(ncfm-hub distill --dataset cif)
        COMP_CWORD=3
        _ncfm_hub_completion {command}
        echo "${{COMPREPLY[@]}}"
    """
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("cifar10 cifar100\n", "")


def test_a_token_on_the_line_is_neither_said_nor_warned_of():
    line = "ncfm-hub push runs --token hf_of_mine --no-p"
    assert completed(line) == ["plain,--no-private"]


@pytest.mark.parametrize("line", ["ncfm-hub dis", "ncfm-hub distill --dataset cif", "ncfm-hub distill --preset "])
def test_nothing_heavy_is_imported(line):
    script = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([name for name in {HEAVY!r} if name in sys.modules]))\n"
        "from ncfm_hub.cli import main\nmain(prog_name='ncfm-hub')"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ | asked(line)
    )
    *completions, imported = found.stdout.splitlines()
    assert completions
    assert imported == "[]"
