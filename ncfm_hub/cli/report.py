"""`ncfm-hub report`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._output import Output


@click.command(short_help="Write an HTML report about distilled datasets.")
@options.targets_argument
@click.option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="HTML file to write.",
)
@options.source_option
@click.option("--start/--no-start", default=True, help="Show the initialisation, made again from the source.")
@options.dry_run_option
@options.revision_option
@options.token_option
@options.output_option
def report(out: Output, targets: tuple[str, ...], dry_run: bool, **request: Any) -> None:
    """Write one self-contained HTML report about distilled datasets.

    Shows for each TARGET (a folder or a Hub repository) its images, the loss and everything in its results.json. A
    continual.json or nas.json in the folder is plotted too.

    \b
    Examples:
      ncfm-hub report runs/cifar10
      ncfm-hub report owner/cifar10-ncfm/ipc10 --output cifar10.html --no-start
      ncfm-hub report runs/ipc1 runs/ipc10 --source ./cifar10
    """
    from ncfm_hub.reporting import write_report

    path = str(write_report(targets, **request, dry_run=dry_run, progress=out))
    out.result({"report": path}, [path], quiet=path)
    out.rehearsed(dry_run)
