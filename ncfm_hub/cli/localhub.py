"""`ncfm-hub localhub`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ncfm_hub.cli import options
from ncfm_hub.cli.output import Output

if TYPE_CHECKING:
    from ncfm_hub.localhub import Hub


@click.command(short_help="Run a Hub-compatible server here, for labs without internet.")
@click.option(
    "--root",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where all data are kept.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Any other lets the network in."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, metavar="N", help="0: any free port."
)
@options.output_option
def localhub(out: Output, root: Path, host: str, port: int) -> None:
    """Serve the repositories under DIR to huggingface_hub, datasets, timm and hf until interrupted. Once it listens,
    it prints the two lines that point those clients, and ncfm-hub itself, to it.

    \b
    Examples:
      ncfm-hub localhub --root ~/hub
      ncfm-hub localhub --root /srv/hub --port 9000
    """
    from ncfm_hub.localhub import serve

    def ready(hub: "Hub") -> None:
        exports = {"HF_ENDPOINT": hub.url, **({"HF_TOKEN": hub.token()} if hub.users else {})}
        lines = [f"export {name}={value}" for name, value in exports.items()]
        out.result(exports, lines, quiet=hub.url, shows_token=True)
        out.note("serving; Ctrl-C stops it")

    serve(root, host=host, port=port, ready=ready)
