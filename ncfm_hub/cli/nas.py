"""`ncfm-hub nas`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
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
        raise click.BadParameter("expected names between commas, for example convnet3,alexnet,resnet18")
    return names


@click.command(short_help="Search architectures by a distilled dataset.")
@click.argument("target")
@click.option("--space", type=click.Choice(["convnet"]), help="Space to draw from: 720 ConvNets, the default.")
@click.option(
    "--architectures",
    metavar="A,B,C",
    callback=_names,
    help="These in place of a space: short names, ConvNets or timm's.",
)
@click.option(
    "--sample", type=click.IntRange(min=1), metavar="N", help="How many to draw; 20 of a space, or all named."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of the draw and the intervals.")
@options.count("--proxy-updates", 200, "Optimiser updates on the distilled and on the random images.")
@options.count("--whole-updates", 800, "Optimiser updates on the whole training set.")
@options.count("--students", 1, "Networks per accuracy.")
@click.option(
    "--baseline",
    type=click.Choice(["random", "none"]),
    default="random",
    show_default=True,
    help="The same for random images of equal storage.",
)
@options.subject_options
@options.output_folder("NAME-nas")
@options.output_option
def nas(
    out: Output, target: str, space: str | None, architectures: list[str] | None, output: Path | None, **request: Any
) -> None:
    """Ask whether the distilled dataset TARGET (a folder, or a repository of the Hub) ranks architectures as the whole
    training set does: each is trained for a short while on both, and measured on a validation part of the training
    split.

    Writes nas.json, nas.md and the scatter plot nas.png into DIR, where an earlier search is renamed; without --output
    into NAME-nas in the current folder, NAME being the last part of TARGET. In the folder of the set itself `report`
    shows the search and `push` takes it along.

    A ConvNet is named by depth, width, norm (none, batch, layer, instance, group), activation (sigmoid, relu,
    leakyrelu) and pooling (none, max, avg), as in convnet-d3-w128-instance-relu-avg.

    Students are kept in the cache: after an interruption the same command goes on, and a larger --sample adds to a
    smaller one. It runs in one process: under a launcher of several, such as torchrun, it is refused.

    \b
    Examples:
      ncfm-hub nas runs/cifar10 --sample 20 --output runs/cifar10
      ncfm-hub nas owner/cifar10-ncfm-ipc10 --sample 50 --proxy-updates 300 --students 3
      ncfm-hub nas runs/cifar10 --architectures convnet3,alexnet,vgg11,resnet18,mobilenetv3_small_050
      ncfm-hub nas runs/cifar10 --architectures convnet-d2-w64-batch-relu-max,convnet-d3-w128-instance-relu-avg
    """
    if space is not None and architectures is not None:
        raise click.UsageError("--space and --architectures exclude each other")
    options.refuse(_INSTEAD)
    lasts("go on with")
    from ncfm_hub.evaluation.search import candidates
    from ncfm_hub.evaluation.search import report as search_report
    from ncfm_hub.evaluation.search import study as search
    from ncfm_hub.publishing.dataset.folders import check_study_output

    budget = candidates.Budget(**{name: request.pop(name) for name in ("proxy_updates", "whole_updates", "students")})
    request["random_baseline"] = request.pop("baseline") == "random"
    folder = output or Path(f"{Path(target).resolve().name}-nas")
    check_study_output(folder, target, revision=request["revision"], token=request["token"])
    found = search.search_architectures(
        target, architectures=architectures, budget=budget, **request, overrides=options.overrides(), progress=out
    )
    earlier = search_report.write_search(folder, found)
    if earlier:
        out.note(f"The search that was there is {earlier} now")
    lines = [
        *search_report.agreement_lines(found),
        "",
        *search_report.architecture_lines(found),
        "",
        f"folder {folder}",
    ]
    out.result(found | {"folder": str(folder)}, lines, quiet=str(folder))
