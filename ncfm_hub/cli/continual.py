"""`ncfm-hub continual`."""

from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._stopping import lasts

_MEMORIES = ("distilled", "random", "herding")
_INSTEAD = {
    "evaluation.students": "--orders",
    "evaluation.baselines": "--memories",
    "evaluation.soft_labels": "--labels",
}


def _split_memories(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in names:
        if name not in _MEMORIES:
            raise click.BadParameter(f"{name!r} is none of {', '.join(_MEMORIES)}")
    return names


@click.command(short_help="Evaluate a distilled dataset as a continual-learning memory.")
@options.target_argument
@options.count("--steps", 5, "Number of steps in which classes arrive.")
@options.count("--orders", 5, "Number of random class orders.")
@click.option(
    "--memories",
    metavar="A,B,C",
    default=",".join(_MEMORIES),
    show_default=True,
    callback=_split_memories,
    help="Memories to compare at equal storage and updates.",
)
@click.option(
    "--labels",
    type=click.Choice(["hard", "soft"]),
    default="hard",
    show_default=True,
    help="Labels to train on.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Random seed.")
@options.output_folder("./NAME-continual")
@options.subject_options
@options.extractors_option
@options.dry_run_option
@options.output_option
def continual(out: Output, target: str, dry_run: bool, **request: Any) -> None:
    """Evaluate a distilled dataset as the memory of class-incremental learning.

    The classes of TARGET (a folder or a Hub repository) arrive in steps. After each step an evaluation network
    (student) is trained from scratch on the memory of all classes seen so far (GDumb), one for each memory and order.

    Writes continual.json and continual.png to --output; an earlier study there is renamed. NAME is the last part of
    TARGET. If --output is the dataset's own folder, `report` shows the study and `push` includes it.

    Herding, and soft labels for real images, need an extractor pool: the one given by --pool, else the one the dataset
    names, else one with the same settings, cached or trained now. Soft labels are restricted to the classes seen, but
    their teacher was trained on all classes. For third-party datasets, --set takes settings of every section.

    Students are cached: after an interruption, run the same command again.

    \b
    Examples:
      ncfm-hub continual runs/cifar10 --output runs/cifar10
      ncfm-hub continual owner/cifar100-ncfm/ipc10 --steps 10 --orders 10
      ncfm-hub continual runs/cifar10 --memories distilled,random --labels soft --set evaluation.updates=300
    """
    options.refuse(_INSTEAD)
    options.refuse_with_pool(request["pool"])
    lasts("resume with")
    from ncfm_hub.evaluation.continual import study as library
    from ncfm_hub.evaluation.continual.table import table_lines

    if dry_run:
        how = options.subject_of(request)
        reports.planned([library.plan_continual(target, **request, options=how, progress=out)], out)
        return

    study = library.continual(target, **request, overrides=options.overrides(), progress=out)
    plot = str(study.folder / library.PLOT)
    lines = [*table_lines(study.results), "", f"plot  {plot}"]
    out.result({"folder": str(study.folder), "plot": plot, "results": study.results}, lines, quiet=str(study.folder))
