"""`ncfm-hub evaluate`."""

from typing import Any

import click

from ncfm_hub.cli import options, reports
from ncfm_hub.cli.output import Output


@click.command(short_help="Measure a distilled dataset.")
@click.argument("target")
@options.preset_option
@options.revision_option
@options.students_option
@options.set_option
@options.token_option
@options.output_option
def evaluate(out: Output, target: str, **request: Any) -> None:
    """Train students on the distilled dataset TARGET (a folder, or a repository of the Hub) and on its baselines, and
    measure them on the test split of its source.

    \b
    Examples:
      ncfm-hub evaluate runs/cifar10
      ncfm-hub evaluate owner/cifar10-ncfm-ipc10 --students 10 --format json
      ncfm-hub evaluate runs/cifar10 --set evaluation.updates=300
    """
    from ncfm_hub import run

    results = run.evaluate(target, **request, overrides=options.overrides(), progress=out)
    out.result(results, reports.accuracy_lines(results))
