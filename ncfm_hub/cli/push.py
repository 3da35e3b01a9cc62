"""`ncfm-hub push`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._replacing import replacing
from ncfm_hub.cli._stopping import lasts


@click.command(short_help="Push distilled datasets or an extractor pool to the Hub.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.repo_id_option
@options.private_option
@options.replace_option
@options.default_option
@options.commit_options
@options.dry_run_option
@options.yes_option
@options.token_option
@options.output_option
def push(out: Output, folder: Path, yes: bool, replace: bool, dry_run: bool, **request: Any) -> None:
    """Push distilled datasets or an extractor pool to the Hub.

    Checks FOLDER, uploads it in one commit and reads it back to compare. FOLDER holds all distilled datasets, or is
    the directory of one. The default repository is named after the pipeline, as the folder is.

    Others in the repository stay. One of the same name is replaced after a question that -y answers; without a
    terminal, pass --replace. One of the same name with another source or IPC always needs --replace. Files that users
    added stay.

    --dry-run makes all checks and lists what would be uploaded, with sizes; neither the folder nor the Hub is changed.

    \b
    Examples:
      ncfm-hub push runs/cifar10 --dry-run
      ncfm-hub push runs/cifar10 --tag v1
      ncfm-hub push runs/cifar10 --repo-id our-lab/cifar10-ncfm --create-pr
      ncfm-hub push runs/cifar10 --repo-id owner/cifar10-tiny --private
      ncfm-hub push runs/cifar10/ipc50 --repo-id cifar10-small --default ipc50
    """
    lasts("push it again with")
    from ncfm_hub import api as run

    made = replacing(
        lambda agreed: run.push(folder, **request, dry_run=dry_run, replace=agreed, progress=out),
        out,
        replace=replace,
        yes=yes or dry_run,
    )
    out.result(reports.push_data(made), reports.push_lines(made), quiet=made.repo_id)
