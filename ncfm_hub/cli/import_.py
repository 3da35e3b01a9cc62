"""`ncfm-hub import`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._figures import mean_option, std_option
from ncfm_hub.cli._output import Output
from ncfm_hub.utils.counting import counted

_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("import", short_help="Make a set that others released into one of ours.")
@click.argument("file", type=_File)
@click.option("--source", "dataset", required=True, metavar="NAME", help="What it was distilled from, as for distill.")
@click.option(
    "--factor", required=True, type=click.IntRange(1, 11), metavar="N", help="Tiles a side: 2 for NCFM's, 1 for plain."
)
@click.option("--labels", "labels_file", type=_File, metavar="FILE", help="Labels, where a file of their own has them.")
@click.option("--normalised/--pixels", default=False, help="Images are (pixel - mean) / std, or from 0 to 1.")
@mean_option
@std_option
@click.option("--clip", is_flag=True, help="Cut values that 8-bit pixels cannot hold.")
@click.option("--made-by", metavar="TEXT", help="Who distilled it, for the card.")
@options.output_folder("PIPELINE-imported-ipcN in the current folder")
@options.preset_option
@options.source_options
@options.set_option
@options.token_option
@options.output_option
def import_(out: Output, file: Path, dataset: str, factor: int, **request: Any) -> None:
    """Make the torch file FILE, a distilled set that others released, into a folder that can be measured, previewed
    and pushed as one of ours. Its labels count the classes of --source in their order.

    Understood are files of NCFM's authors (a pair of images and labels, undecoded: --factor 2) and those that DC-Bench
    reads (of DC, DSA, DM, MTT: --factor 1 --normalised, most often with --clip). Only tensors are read from it.

    \b
    Examples:
      ncfm-hub import data_20000.pt --source cifar10 --factor 2 --made-by "Wang et al., NCFM"
      ncfm-hub import res_DM_CIFAR10_ConvNet_10ipc.pt --source cifar10 --factor 1 --normalised --clip
      ncfm-hub import images_best.pt --labels labels_best.pt --source cifar100 --factor 1 --normalised --clip
    """
    from ncfm_hub.publishing.exchange.imports import import_set

    made = import_set(file, dataset, factor, **request, overrides=options.overrides(), progress=out)
    if cut := made.about.get("cut"):
        out.note(f"cut {cut['share']:.2%} of the values, which reached from {cut['lowest']:g} to {cut['highest']:g}")
    lines = [f"folder     {made.folder}", f"per class  {counted(made.ipc, 'stored image')}"]
    out.result({"folder": str(made.folder), "ipc": made.ipc, "imported": made.about}, lines, quiet=str(made.folder))
