"""`ncfm-hub export`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._figures import mean_option, std_option
from ncfm_hub.cli._output import Output


@click.command(short_help="Write a distilled dataset for a benchmark of others.")
@click.argument("target")
@click.option(
    "--to", "benchmark", required=True, type=click.Choice(["dd-ranking", "dc-bench"]), help="Who is going to read it."
)
@options.output_folder("PIPELINE-ipcN-BENCHMARK in the current folder")
@mean_option
@std_option
@options.revision_option
@options.token_option
@options.output_option
def export(out: Output, target: str, benchmark: Any, output: Path | None, **request: Any) -> None:
    """Write the distilled dataset TARGET (a folder, or a repository of the Hub) in the format of DD-Ranking or of
    DC-Bench: torch files of normalised images and labels, and export.json, which says what they are. DD-Ranking itself
    was run on such files; for DC-Bench only the form of the file is tested.

    \b
    Examples:
      ncfm-hub export runs/cifar10 --to dd-ranking
      ncfm-hub export owner/cifar10-ncfm-ipc10 --to dc-bench --output dc-bench/cifar10
    """
    from ncfm_hub.publishing.exchange.exports import ABOUT, export_set

    folder, about = export_set(target, benchmark, output, **request)
    if about["dataset"] is None and about["normalised_by"]["origin"] != "given":
        out.note(f"{benchmark} has no such dataset; normalised by the images' own statistics, or give --mean and --std")
    lines = [f"{folder / name}  {what}" for name, what in about["files"].items()]
    out.result({"folder": str(folder), **about}, [*lines, f"{folder / ABOUT}"], quiet=str(folder))
