"""`ncfm-hub reproduce`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._stopping import lasts

_SHORTER = "--set distillation.steps=N, --set evaluation.students=N"


@click.command(short_help="Make a published dataset again and compare the two.")
@options.target_argument
@click.option("--name", metavar="NAME", help="Which of several datasets (default: the card's default).")
@options.set_option
@options.device_option
@click.option(
    "--dataset",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Copy of the source, if that was a local folder.",
)
@click.option(
    "--pool",
    metavar="REPO|DIR|none",
    help="Copy of the pool, if --pool gave it; none: train it anew.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep what is made here (default: it is removed).",
)
@options.token_option
@click.option("--dry-run", is_flag=True, help="Print the plan and exit.")
@options.yes_option
@options.output_option
def reproduce(out: Output, target: str, dry_run: bool, yes: bool, token: str | None, **request: Any) -> None:
    """Make a published dataset again and compare the two.

    Runs the recipe that TARGET (a folder or a Hub repository) records, on the recorded source revision, and prints one
    line per check. TARGET/NAME is one of several datasets, and owner/name/ipc10@REV a branch, tag or commit.

    Where versions, processor, threads, precision and extractor pool are the recorded ones, images must be the same
    bytes; elsewhere, on a GPU, and with --set, their distance is noted. An accuracy passes if the two means differ by
    at most three standard errors of their difference. Exits with 1 if a check fails or cannot be made.

    \b
    Examples:
      ncfm-hub reproduce runs/cifar10/ipc10 --dry-run
      ncfm-hub reproduce owner/cifar10-ncfm/ipc10@v1 -o again
      ncfm-hub reproduce owner/cifar10-ncfm/ipc10 --set distillation.steps=20
    """
    options.refuse_with_pool(request["pool"])
    lasts("continue with" if request["output"] else "start it again with")
    from ncfm_hub.reproducing import reproduce as again

    planned = again.plan_reproduction(target, overrides=options.overrides(), token=token, **request)
    if planned.plan is not None and dry_run:
        data = {"target": target, "checks": [vars(check) for check in planned.checks], "plan": planned.plan.as_dict()}
        out.result(data, [*reports.check_lines(planned.checks), *planned.plan.work_lines()])
        return
    if planned.plan is not None:
        reports.announce_cost(planned.plan.as_dict(), out, yes, _SHORTER)
    found = again.carry_out_again(planned, token=token, progress=out)
    out.result(found.as_dict(), reports.check_lines(found.checks), quiet="passed" if found.ok else "failed")
    if not found.ok:
        click.get_current_context().exit(1)
