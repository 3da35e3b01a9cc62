"""`ncfm-hub report`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._output import Output


@click.command(short_help="Make a page about distilled datasets.")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="The page to write.",
)
@click.option("--source", metavar="NAME", help="Where to read the source, in place of where the set says it is.")
@click.option("--start/--no-start", default=True, help="Show what the images were before; the source is read for it.")
@options.revision_option
@options.token_option
@options.output_option
def report(out: Output, targets: tuple[str, ...], **request: Any) -> None:
    """Make one HTML page about each distilled dataset TARGET (a folder, or a repository of the Hub): its images, the
    loss, and whatever its results.json says was measured. The page is one file that needs nothing else.

    A continual.json or nas.json that lies in the folder, as `continual` and `nas` write them, is drawn too.

    \b
    Examples:
      ncfm-hub report runs/cifar10
      ncfm-hub report owner/cifar10-ncfm-ipc10 --output cifar10.html --no-start
      ncfm-hub report runs/ipc1 runs/ipc10 --source ./cifar10
    """
    from ncfm_hub.reporting import write_report

    path = str(write_report(targets, **request, progress=out))
    out.result({"report": path}, [path], quiet=path)
