"""Help is quick, whole and has examples; the page made of it is current."""

import inspect
import re
import subprocess
import sys
import time

import click
import pytest

from ncfm_hub.cli import GROUPS, main
from ncfm_hub.cli._reference import PAGE, reference

HEAVY = ("torch", "timm", "datasets", "pydantic", "huggingface_hub", "accelerate", "numpy", "PIL", "yaml", "tqdm")
PATHS = [
    [],
    *([name] for name in sorted(main.commands)),
    *(["pipelines", name] for name in ("list", "show", "copy")),
    *(["pool", name] for name in ("push", "pull", "list", "show")),
]


def _command(path: list[str]) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_of_every_command_works_and_has_an_example(invoke, path):
    result = invoke(*path, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"ncfm-hub {' '.join(path)}".strip() in result.stdout
    options = [param for param in _command(path).params if isinstance(param, click.Option)]
    assert all(option.help for option in options)


@pytest.mark.parametrize("path", [[], ["distill"]], ids=["ncfm-hub", "distill"])
def test_help_is_quick_and_imports_nothing_heavy(path):
    script = (
        "import sys\nfrom ncfm_hub.cli import main\n"
        f"main({[*path, '--help']!r}, standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
    times = []
    for _ in range(5):  # the quickest of some: other work on the machine is no fault of ours
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "ncfm_hub", *path, "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


@pytest.mark.parametrize("name", sorted(main.commands))
def test_what_is_written_without_output_is_said(name):
    for param in main.commands[name].params:
        if isinstance(param, click.Option) and param.name in ("output", "path"):
            assert param.show_default or "(default: " in str(param.help), name


@pytest.mark.parametrize("name", ["evaluate", "continual", "nas"])
def test_what_can_be_set_of_a_finished_set_is_said(name):
    (help_,) = [
        param.help for param in main.commands[name].params if isinstance(param, click.Option) and "--set" in param.opts
    ]
    assert "evaluation and engine" in str(help_)


NOT_OUR_WORDS = (
    r"(?<!-)\b(?<!training )sets?\b",  # a distilled dataset, a third-party dataset
    r"mixed-tile",
    r"random images",
    r"(?<!of )extractors\b",
    r"on its own images",
    r"\bvalues? of the recipe|recipe('s)? values?",
    r"\bdraws\b",
    r"whole (training )?(split|set|training)",
    r"matching of means",
    r"\bof ours\b",
    r"\bstrangers?\b",
    r"\bof others\b",
    r"worth",
)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_is_in_the_words_of_the_field(path):
    command = _command(path)
    options = [param for param in command.params if isinstance(param, click.Option)]
    purpose = inspect.cleandoc(command.help or "").partition("\n\n")[0]
    assert re.fullmatch(r".{,78}\.", purpose), "the first paragraph is one line: the purpose"
    for option in options:
        assert len(str(option.help)) < 70, option.opts
        assert re.match(r"[A-Zt].*\.$", str(option.help)), option.opts  # t: timm
    said = "\n".join([command.help or "", command.short_help or "", *(str(option.help) for option in options)])
    said = re.sub(r"\s+", " ", said)
    for words in NOT_OUR_WORDS:
        assert not re.search(words, said, re.IGNORECASE), words
    first = re.search(r"(?<!-)\bstudents?\b", said)
    assert first is None or "valuation network" in said[: first.start()], "what a student is, at first mention"


def test_commands_are_grouped(invoke):
    grouped = [str(command.name) for commands in GROUPS.values() for command in commands]
    assert sorted(grouped) == sorted(main.commands)
    lines = invoke("--help").stdout.splitlines()
    shown = [line.split()[0].removesuffix(":") for line in lines[lines.index("Make:") :] if line.strip()]
    assert shown == [word for title, commands in GROUPS.items() for word in (title, *(c.name for c in commands))]


def test_version():
    found = subprocess.run([sys.executable, "-m", "ncfm_hub", "--version"], capture_output=True, text=True, check=True)
    import ncfm_hub

    assert found.stdout.strip().endswith(ncfm_hub.__version__)


def test_the_command_reference_is_current():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m ncfm_hub.cli._reference"
