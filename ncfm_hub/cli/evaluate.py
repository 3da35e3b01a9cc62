"""`ncfm-hub evaluate`."""

from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._stopping import lasts


@click.command(short_help="Measure distilled datasets.")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@options.subject_options
@options.students_option
@options.table_options
@options.extractors_option
@click.option("--ranking", is_flag=True, help="Also DD-Ranking's figures: HLR, IOR, LRS and ARS.")
@click.option("--again", is_flag=True, help="Train anew what was measured under the same conditions before.")
@click.option(
    "--update",
    is_flag=True,
    help="Write the result into the folder's results.json and card; an earlier one of another protocol becomes "
    "results-1.json.",
)
@options.output_option
def evaluate(out: Output, **request: Any) -> None:
    """Train students on each distilled dataset TARGET (a folder, or a repository of the Hub) and on its baselines, and
    measure them on the test split of its source. Datasets that others made name their source by --source.

    Several sets are measured by the recipe of the first, on one source; --source, --revision and --pool are for all of
    them. herding, k-center, el2n and dm need extractors: those of --pool, else those that the set names, else those of
    its recipe, from the cache or trained now. Random images get a row with soft labels where extractors are at hand;
    only --ranking trains them for it.

    Without --update the result is only printed; --format json > FILE keeps it. With --update, rows that the folder has
    from the same protocol stay beside the new ones. Another number of students or updates is another protocol.

    Students are kept in the cache: after an interruption the same command goes on.

    \b
    Examples:
      ncfm-hub evaluate runs/cifar10
      ncfm-hub evaluate owner/cifar10-ncfm-ipc10 --students 10 --format json
      ncfm-hub evaluate runs/cifar10 --baselines random,herding,k-center,el2n,start,dm,whole --update
      ncfm-hub evaluate runs/cifar10 --architectures alexnet,vgg11,resnet18
      ncfm-hub evaluate runs/mine owner/theirs --source cifar10 --ranking
    """
    options.refuse_with_pool(request["pool"])
    lasts("measure all of it again with" if request["again"] else "go on with")
    from ncfm_hub import api as run

    results = run.evaluate(**request, overrides=options.overrides(), progress=out)
    out.result(results, reports.result_lines(results))
