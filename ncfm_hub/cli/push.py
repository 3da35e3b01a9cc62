"""`ncfm-hub push`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._stopping import lasts


@click.command(short_help="Publish a distilled folder or a pool.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--repo-id", metavar="ID", help="Name or owner/name; by default made of the pipeline's name.")
@click.option("--private/--no-private", default=False, help="Visibility of a new repository.")
@options.replace_option
@options.token_option
@options.output_option
def push(out: Output, folder: Path, **request: Any) -> None:
    """Check the distilled dataset in FOLDER, put it on the Hub in one commit, and read it back to compare.

    A repository that holds a set of another source or ipc is refused. With --replace nothing of that set stays; what
    others put there does.

    \b
    Examples:
      ncfm-hub push runs/cifar10
      ncfm-hub push runs/cifar10 --repo-id owner/cifar10-tiny --private
      ncfm-hub push runs/cifar10-ipc50 --repo-id cifar10-small --replace
    """
    lasts("push it again with")
    from ncfm_hub import api as run

    pushed = reports.repo_data(run.push(folder, **request, progress=out))
    assert pushed is not None
    out.result(pushed, [f"pushed to  {pushed['url']}", f"revision   {pushed['revision']}"], quiet=pushed["repo_id"])
