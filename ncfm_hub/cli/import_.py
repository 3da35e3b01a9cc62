"""`ncfm-hub import`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._completion import complete_source
from ncfm_hub.cli._figures import mean_option, std_option
from ncfm_hub.cli._output import Output
from ncfm_hub.utils.counting import counted

_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("import", short_help="Convert a released .pt dataset to the Hub layout.")
@click.argument("file", type=_File)
@click.option(
    "--source",
    "dataset",
    required=True,
    metavar="NAME",
    shell_complete=complete_source,
    help="Source: pipeline name, Hub ID, local folder or .yaml file.",
)
@click.option(
    "--factor",
    required=True,
    type=click.IntRange(1, 11),
    metavar="N",
    help="Tiles per side: 2 for NCFM files, 1 for plain images.",
)
@click.option(
    "--labels", "labels_file", type=_File, metavar="FILE", help="File of labels, if separate from the images."
)
@click.option(
    "--label-values",
    type=click.Choice(("probabilities", "logits", "centred")),
    default="probabilities",
    help="Content of label rows (default: probabilities).",
)
@click.option(
    "--class-order",
    metavar="ORDER",
    help="Order that labels count in: file of names, sorted, ids or mtt.",
)
@click.option("--zca", metavar="FILE|fit", help="Undo ZCA whitening by this mean and matrix, or fit them.")
@click.option("--normalised/--pixels", default=False, help="Value range: (pixel - mean) / std, or [0, 1].")
@mean_option
@std_option
@click.option("--clip", is_flag=True, help="Clip values to the range of 8-bit pixels.")
@click.option("--made-by", metavar="TEXT", help="Authors to credit in the dataset card.")
@options.output_folder("./PIPELINE-imported")
@options.name_option
@options.preset_option
@options.source_options
@options.set_option
@options.dry_run_option
@options.token_option
@options.output_option
def import_(out: Output, file: Path, dataset: str, factor: int, dry_run: bool, **request: Any) -> None:
    """Convert a released .pt dataset to the Hub layout.

    The result is a folder that you can evaluate, preview and push. Labels in FILE follow the class order of --source,
    or --class-order. Only tensors are read from FILE; no code in it runs. What was assumed is printed, and stands in
    the card and pipeline.yaml; look at it first with --dry-run.

    Supported are files of NCFM's authors (a pair of undecoded images and labels: --factor 2) and files that DC-Bench
    reads (DC, DSA, DM, MTT: --factor 1 --normalised, usually with --clip; --factor 1 --zca fit if whitened).

    \b
    Examples:
      ncfm-hub import data_20000.pt --source cifar10 --factor 2 --made-by "Wang et al., NCFM"
      ncfm-hub import res_DM_CIFAR10_ConvNet_10ipc.pt --source cifar10 --factor 1 --normalised --clip --name dm
      ncfm-hub import images_best.pt --labels labels_best.pt --source cifar100 --factor 1 --normalised --clip
      ncfm-hub import images_best.pt --labels labels_best.pt --source cifar10 --factor 1 --zca fit
    """
    from ncfm_hub.publishing.exchange.imports import import_set

    made = import_set(file, dataset, factor, **request, dry_run=dry_run, overrides=options.overrides(), progress=out)
    for assumption in made.about.get("assumed", ()):
        out.note(f"assumed: {assumption}")
    if cut := made.about.get("cut"):
        out.note(f"clipped {cut['share']:.2%} of the values, which ranged from {cut['lowest']:g} to {cut['highest']:g}")
    lines = [f"folder     {made.folder / made.name}", f"per class  {counted(made.ipc, 'stored image')}"]
    out.result(
        {"folder": str(made.folder), "name": made.name, "ipc": made.ipc, "imported": made.about},
        lines,
        quiet=str(made.folder),
    )
    out.rehearsed(dry_run)
