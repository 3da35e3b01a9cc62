"""`ncfm-hub evaluate`."""

from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._stopping import lasts


@click.command(short_help="Evaluate distilled datasets, third-party ones included.")
@options.targets_argument
@options.subject_options
@options.students_option
@options.table_options
@options.extractors_option
@click.option("--ranking", is_flag=True, help="Also compute DD-Ranking's HLR, IOR, LRS and ARS.")
@click.option("--again", is_flag=True, help="Train again instead of using cached results.")
@click.option(
    "--update",
    is_flag=True,
    help="Write the result to the folder's results.json and card.",
)
@options.dry_run_option
@options.output_option
def evaluate(out: Output, dry_run: bool, **request: Any) -> None:
    """Evaluate distilled datasets, including third-party ones.

    Trains evaluation networks (students) on each TARGET (a folder or a Hub repository) and on its baselines, and tests
    them on the test split of the source. For third-party datasets, name the source with --source; --set then takes
    settings of every section.

    Several datasets are evaluated on one source, with the settings of the first; --source, --revision and --pool apply
    to all of them. herding, k-center, el2n and dm need an extractor pool: the one given by --pool, else the one the
    dataset names, else one with the same settings, cached or trained now. Random real images get a row with soft labels
    if a pool is available; only --ranking trains one for it.

    Without --update the result is only printed; --format json > FILE keeps it. --update keeps earlier rows of the same
    protocol; results of another protocol (another number of students or updates) move to results-1.json.

    Students are cached: after an interruption, run the same command again.

    \b
    Examples:
      ncfm-hub evaluate runs/cifar10
      ncfm-hub evaluate owner/cifar10-ncfm/ipc10 --students 10 --format json
      ncfm-hub evaluate runs/cifar10 --baselines random,herding,k-center,el2n,start,dm,whole --update
      ncfm-hub evaluate runs/cifar10 --architectures alexnet,vgg11,resnet18
      ncfm-hub evaluate runs/mine owner/theirs --source cifar10 --ranking
    """
    options.refuse_with_pool(request["pool"])
    if dry_run:
        from ncfm_hub.evaluation.evaluate import plan_evaluation

        targets, with_ranking, update = request.pop("targets"), request.pop("ranking"), request.pop("update")
        del request["again"]
        how = options.subject_of(request)
        plans = plan_evaluation(targets, how, with_ranking=with_ranking, update=update, progress=out)
        reports.planned(plans, out)
        return
    lasts("start it again with" if request["again"] else "resume with")
    from ncfm_hub import api as run

    results = run.evaluate(**request, overrides=options.overrides(), progress=out)
    out.result(results, reports.result_lines(results))
