"""Generate the command reference: `python -m ncfm_hub.cli._reference` writes docs/commands.md."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from ncfm_hub.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
_HEADING = """# Commands

Made by `python -m ncfm_hub.cli._reference` from the commands themselves; not to be edited by hand.

Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 failed (one line on stderr says why; `HF_DEBUG=1`
adds the traceback), 2 wrong usage, 130 interrupted.

## Shell completion

TAB completes commands, options, presets, built-in pipelines and folders, once your shell reads this line:

| shell | file | line |
| --- | --- | --- |
| bash 4.4 or newer | `~/.bashrc` | `eval "$(_NCFM_HUB_COMPLETE=bash_source ncfm-hub)"` |
| zsh | `~/.zshrc` | `eval "$(_NCFM_HUB_COMPLETE=zsh_source ncfm-hub)"` |
| fish | `~/.config/fish/completions/ncfm-hub.fish` | `_NCFM_HUB_COMPLETE=fish_source ncfm-hub \\| source` |

Names on the Hub are not completed: that would wait for the network.
"""


def reference() -> str:
    """Return the page as Markdown, one section per command."""
    return "\n".join([_HEADING, *(_section(path, command) for path, command in _walk("ncfm-hub", main))])


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _walk(f"{path} {name}", command.commands[name])


def _section(path: str, command: click.Command) -> str:
    # Click's own help text changes its layout between versions.
    text, _, examples = inspect.cleandoc(command.help or "").partition("\n\n\b\n")
    arguments = [param.human_readable_name.upper() for param in command.params if isinstance(param, click.Argument)]
    kind = ["COMMAND"] if isinstance(command, click.Group) else [*arguments, "[OPTIONS]"]
    rows = [_row(param) for param in command.params if isinstance(param, click.Option)]
    table = ["| option | meaning |", "| --- | --- |", *rows, ""] if rows else []
    shown = [line.removeprefix("  ") for line in examples.splitlines()[1:]]
    return "\n".join(
        [f"## {path}", "", f"`{' '.join([path, *kind])}`", "", text, "", "```sh", *shown, "```", "", *table]
    )


def _row(option: click.Option) -> str:
    flags = ", ".join(option.opts) + "".join(f" / {flag}" for flag in option.secondary_opts)
    if option.metavar:
        value = f" {option.metavar}"
    elif isinstance(option.type, click.Choice):
        value = f" {'|'.join(option.type.choices)}"
    else:
        value = ""
    shown = f" Default: {option.default}." if option.show_default else ""
    needed = " Required." if option.required else ""
    name = f"{flags}{value}".replace("|", "\\|")
    return f"| `{name}` | {option.help}{shown}{needed} |"


if __name__ == "__main__":
    from ncfm_hub.utils.files import write_text

    write_text(PAGE, reference())
    click.echo(PAGE)
