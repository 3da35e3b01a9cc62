"""`ncfm-hub verify`."""

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output


@click.command(short_help="Check that the parts of a published dataset agree.")
@options.target_argument
@options.revision_option
@options.token_option
@options.output_option
def verify(out: Output, target: str, revision: str | None, token: str | None) -> None:
    """Check that the parts of a published dataset agree.

    Reads TARGET (a folder or a Hub repository) and prints one line per check: columns, class names, counts, labels, the
    pixels of all copies, provenance, and the numbers of results.json and of the card. Exits with 1 unless all pass.
    TARGET/NAME is one of several distilled datasets; without a name all are checked.

    No network is trained. The accuracies themselves are measured again by `ncfm-hub evaluate`.

    \b
    Examples:
      ncfm-hub verify runs/cifar10
      ncfm-hub verify owner/cifar10-ncfm/ipc10 --format json
    """
    from ncfm_hub.publishing.verifying.verify import verify as check

    verified = check(target, revision=revision, token=token)
    out.result(verified.as_dict(), reports.check_lines(verified.checks), quiet="passed" if verified.ok else "failed")
    if not verified.ok:
        click.get_current_context().exit(1)
