"""`ncfm-hub push`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._stopping import lasts


@click.command(short_help="Push a distilled dataset or an extractor pool to the Hub.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.repo_id_option
@options.private_option
@options.replace_option
@options.token_option
@options.output_option
def push(out: Output, folder: Path, **request: Any) -> None:
    """Push a distilled dataset or an extractor pool to the Hub.

    Checks FOLDER, uploads it in one commit and reads it back to compare. The default repository is named after the
    pipeline, as the folder is.

    A repository that holds a dataset with another source or IPC is refused. --replace removes that dataset; files that
    users added stay.

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
