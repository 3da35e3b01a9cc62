"""`ncfm-hub nas`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._stopping import lasts

_INSTEAD = {
    "evaluation.updates": "--proxy-updates and --whole-updates",
    "evaluation.epochs": "--proxy-updates and --whole-updates",
    "evaluation.students": "--students",
    "evaluation.baselines": "--baseline",
    "evaluation.architectures": "--architectures",
}


def _names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if not all(names):
        raise click.BadParameter("expected comma-separated names, for example convnet3,alexnet,resnet18")
    return names


@click.command(short_help="Rank architectures by training on a distilled dataset.")
@options.target_argument
@click.option("--space", type=click.Choice(["convnet"]), help="Search space (default: convnet, 720 ConvNets).")
@click.option(
    "--architectures",
    metavar="A,B,C",
    callback=_names,
    help="Architectures instead of a space: ConvNets or timm models.",
)
@click.option(
    "--sample", type=click.IntRange(min=1), metavar="N", help="Architectures to sample (default: 20, or all named)."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Random seed.")
@options.count("--proxy-updates", 200, "Updates on the distilled and on the random real images.")
@options.count("--whole-updates", 800, "Updates on the full training set.")
@options.count("--students", 1, "Evaluation networks (students) per accuracy.")
@click.option(
    "--baseline",
    type=click.Choice(["random", "none"]),
    default="random",
    show_default=True,
    help="Baseline proxy: random real images at equal storage.",
)
@options.subject_options
@options.output_folder("./NAME-nas")
@options.dry_run_option
@options.output_option
def nas(
    out: Output,
    target: str,
    space: str | None,
    architectures: list[str] | None,
    output: Path | None,
    dry_run: bool,
    **request: Any,
) -> None:
    """Test how well a distilled dataset ranks architectures.

    Trains each architecture briefly on TARGET (a folder or a Hub repository) and on the full training set, tests both
    on held-out training images, and reports rank correlations.

    Writes nas.json, nas.md and the scatter plot nas.png to --output; an earlier search there is renamed. NAME is the
    last part of TARGET. If --output is the dataset's own folder, `report` shows the search and `push` includes it.
    For third-party datasets, --set takes settings of every section.

    A ConvNet is named by depth, width, norm (none, batch, layer, instance, group), activation (sigmoid, relu,
    leakyrelu) and pooling (none, max, avg), as in convnet-d3-w128-instance-relu-avg.

    Trained networks are cached: after an interruption, run the same command again; a larger --sample extends a smaller
    one. Runs in one process, not under torchrun or another launcher.

    \b
    Examples:
      ncfm-hub nas runs/cifar10 --sample 20 --output runs/cifar10
      ncfm-hub nas owner/cifar10-ncfm/ipc10 --sample 50 --proxy-updates 300 --students 3
      ncfm-hub nas runs/cifar10 --architectures convnet3,alexnet,vgg11,resnet18,mobilenetv3_small_050
      ncfm-hub nas runs/cifar10 --architectures convnet-d2-w64-batch-relu-max,convnet-d3-w128-instance-relu-avg
    """
    if space is not None and architectures is not None:
        raise click.UsageError("--space and --architectures exclude each other")
    options.refuse(_INSTEAD)
    lasts("resume with")
    from ncfm_hub.evaluation.search import candidates
    from ncfm_hub.evaluation.search import report as search_report
    from ncfm_hub.evaluation.search import study as search
    from ncfm_hub.publishing.dataset.folders import study_folder

    budget = candidates.Budget(**{name: request.pop(name) for name in ("proxy_updates", "whole_updates", "students")})
    request["random_baseline"] = request.pop("baseline") == "random"
    folder = output or Path(f"{Path(target).resolve().name}-nas")
    folder = study_folder(folder, target, revision=request["revision"], token=request["token"])
    if dry_run:
        how, chosen = options.subject_of(request), {"architectures": architectures, "budget": budget, **request}
        reports.planned([search.plan_search(target, **chosen, options=how, folder=folder, progress=out)], out)
        return
    found = search.search_architectures(
        target, architectures=architectures, budget=budget, **request, overrides=options.overrides(), progress=out
    )
    earlier = search_report.write_search(folder, found)
    if earlier:
        out.note(f"the earlier search is now {earlier}")
    lines = [
        *search_report.agreement_lines(found),
        "",
        *search_report.architecture_lines(found),
        "",
        f"folder {folder}",
    ]
    out.result(found | {"folder": str(folder)}, lines, quiet=str(folder))
