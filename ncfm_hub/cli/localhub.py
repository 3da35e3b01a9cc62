"""`ncfm-hub localhub`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._output import Output

if TYPE_CHECKING:
    from ncfm_hub.localhub import Hub, Role


def _split_users(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    users = []
    for value in values:
        name, colon, role = value.partition(":")
        if colon and role not in ("read", "write"):
            raise click.BadParameter(f"{value!r} is not of the form NAME, NAME:write or NAME:read")
        users.append((name, role or "write"))
    return users


@click.command(short_help="Run a Hub-compatible server, for labs without internet.")
@click.option(
    "--root",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for all data.",
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0: any free one.",
)
@click.option(
    "--user",
    "users",
    multiple=True,
    callback=_split_users,
    metavar="NAME[:read|write]",
    help="Add a user (default: local, who may write); repeatable.",
)
@options.output_option
def localhub(out: Output, root: Path, host: str, port: int, users: "list[tuple[str, Role]]") -> None:
    """Run a Hub-compatible server.

    Implements the Hub API used by huggingface_hub, datasets, timm and the hf CLI, for repositories under --root, until
    interrupted. Prints the environment variables that point those clients, and ncfm-hub, to it. An address other than
    127.0.0.1 opens it to the network.

    Users of earlier starts stay; a --user may write unless :read is given. Tokens are made once and kept in files under
    --root that only their owner can read; to replace one, delete its file and restart.

    \b
    Examples:
      ncfm-hub localhub --root ~/hub
      ncfm-hub localhub --root /srv/hub --port 9000 --user ada --user ada:read --user bob
    """
    from ncfm_hub.localhub import serve

    def ready(hub: "Hub") -> None:
        out.result(_facts(hub), _lines(hub), quiet=hub.url)
        out.note("serving; stop with Ctrl-C")

    serve(root, host=host, port=port, ready=ready, keep=users)


def _facts(hub: "Hub") -> dict[str, Any]:
    users = [{"name": user.name, "role": user.role, "token_file": user.file} for user in hub.users]
    return {"HF_ENDPOINT": hub.url, "users": users}


def _lines(hub: "Hub") -> list[str]:
    """Return shell commands that select the first user with write access; lines after `# or: ` select others."""
    users = sorted(hub.users, key=lambda user: user.role != "write")
    # Only the token's path, since output may end up in a log.
    tokens = [f'export HF_TOKEN="$(cat {shlex.quote(str(user.file))})"' for user in users]
    return [f"export HF_ENDPOINT={shlex.quote(hub.url)}", *tokens[:1], *(f"# or: {line}" for line in tokens[1:])]
