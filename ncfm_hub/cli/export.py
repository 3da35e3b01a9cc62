"""`ncfm-hub export`."""

from pathlib import Path
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._figures import mean_option, std_option
from ncfm_hub.cli._output import Output


@click.command(short_help="Export a distilled dataset for DD-Ranking or DC-Bench.")
@options.target_argument
@click.option(
    "--to", "benchmark", required=True, type=click.Choice(["dd-ranking", "dc-bench"]), help="Benchmark to export for."
)
@options.output_folder("./PIPELINE-ipcN-BENCHMARK")
@mean_option
@std_option
@options.dry_run_option
@options.revision_option
@options.token_option
@options.output_option
def export(out: Output, target: str, benchmark: Any, output: Path | None, dry_run: bool, **request: Any) -> None:
    """Export a distilled dataset for DD-Ranking or DC-Bench.

    Writes normalised images and labels of TARGET (a folder or a Hub repository) as torch files, and export.json, which
    describes them. DD-Ranking was run on such files; DC-Bench: only the file format is tested.

    \b
    Examples:
      ncfm-hub export runs/cifar10 --to dd-ranking
      ncfm-hub export owner/cifar10-ncfm/ipc10 --to dc-bench --output dc-bench/cifar10
    """
    from ncfm_hub.publishing.exchange.exports import ABOUT, export_set

    folder, about = export_set(target, benchmark, output, dry_run=dry_run, **request)
    if about["dataset"] is None and about["normalised_by"]["origin"] != "given":
        out.note(
            f"{benchmark} does not know this dataset; normalised by its own mean and std, or give --mean and --std"
        )
    lines = [f"{folder / name}  {what}" for name, what in about["files"].items()]
    out.result({"folder": str(folder), **about}, [*lines, f"{folder / ABOUT}"], quiet=str(folder))
    out.rehearsed(dry_run)
