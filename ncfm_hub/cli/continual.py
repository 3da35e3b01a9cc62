"""`ncfm-hub continual`."""

from typing import Any

import click

from ncfm_hub.cli import _options as options
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


@click.command(short_help="Measure a distilled dataset as the memory of a continual learner.")
@click.argument("target")
@options.count("--steps", 5, "Steps in which the classes come.")
@options.count("--orders", 5, "Random orders of the classes.")
@click.option(
    "--memories",
    metavar="A,B,C",
    default=",".join(_MEMORIES),
    show_default=True,
    callback=_split_memories,
    help="What to compare, at the same stored pixels and updates.",
)
@click.option(
    "--labels",
    type=click.Choice(["hard", "soft"]),
    default="hard",
    show_default=True,
    help="Soft ones are restricted to the classes seen; their teacher has seen all.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of all draws.")
@options.output_folder("NAME-continual")
@options.subject_options
@options.extractors_option
@options.output_option
def continual(out: Output, target: str, **request: Any) -> None:
    """Let the classes of the distilled dataset TARGET (a folder, or a repository of the Hub) come in steps, and train a
    student from scratch after each step on the memory of all classes seen so far (GDumb).

    Writes continual.json and continual.png into DIR, where an earlier study is renamed; without --output into
    NAME-continual in the current folder, NAME being the last part of TARGET. In the folder of the set itself `report`
    shows the study and `push` takes it along.

    Every step of every order trains a student for each memory. Herding, and soft labels of real images, need
    extractors: those of --pool, else those that the set names, else those of its recipe, from the cache or trained now.
    Students are kept in the cache: after an interruption the same command goes on.

    \b
    Examples:
      ncfm-hub continual runs/cifar10 --output runs/cifar10
      ncfm-hub continual owner/cifar100-ncfm-ipc10 --steps 10 --orders 10
      ncfm-hub continual runs/cifar10 --memories distilled,random --labels soft --set evaluation.updates=300
    """
    options.refuse(_INSTEAD)
    options.refuse_with_pool(request["pool"])
    lasts("go on with")
    from ncfm_hub.evaluation.continual import study as library
    from ncfm_hub.evaluation.continual.table import table_lines

    study = library.continual(target, **request, overrides=options.overrides(), progress=out)
    plot = str(study.folder / library.PLOT)
    lines = [*table_lines(study.results), "", f"plot  {plot}"]
    out.result({"folder": str(study.folder), "plot": plot, "results": study.results}, lines, quiet=str(study.folder))
