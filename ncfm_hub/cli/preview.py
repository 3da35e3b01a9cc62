"""`ncfm-hub preview`."""

from pathlib import Path

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._output import Output


@click.command(short_help="Draw a contact sheet of a distilled dataset.")
@options.target_argument
@click.option(
    "--out",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="PNG file to write (default: preview.png).",
)
@options.dry_run_option
@options.revision_option
@options.token_option
@options.output_option
def preview(
    out: Output, target: str, file: Path | None, dry_run: bool, revision: str | None, token: str | None
) -> None:
    """Draw a contact sheet of a distilled dataset.

    One row per class of the stored images of TARGET (a folder or a Hub repository). TARGET/NAME is
    one of several. The default file is preview.png beside the images, or in the current folder for a repository.

    \b
    Examples:
      ncfm-hub preview runs/cifar10
      ncfm-hub preview owner/cifar10-ncfm/ipc10 --out sheet.png
    """
    from ncfm_hub.publishing import contact_sheet
    from ncfm_hub.publishing.dataset.layout import PREVIEW
    from ncfm_hub.publishing.dataset.loading import find
    from ncfm_hub.publishing.dataset.reading import read_data

    place = find(target, revision=revision, token=token)
    made = read_data(place.folder)
    path = file or (place.folder if Path(target).is_dir() else Path()) / PREVIEW
    if not dry_run:
        contact_sheet(made.stored, made.stored_labels, made.class_names, path)
    out.result({"preview": str(path)}, [str(path)], quiet=str(path))
    out.rehearsed(dry_run)
