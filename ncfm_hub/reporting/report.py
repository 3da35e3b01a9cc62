"""Write the HTML report on one or more distilled datasets."""

from collections.abc import Sequence
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.reporting.gather import gather
from ncfm_hub.reporting.html import render_page
from ncfm_hub.utils.files import write_text
from ncfm_hub.utils.named import Named, path_of, text_of, texts_of
from ncfm_hub.utils.progress import Progress, Silent

FILE = "report.html"
_BEGINS, _ENDS_IN = b"<!DOCTYPE html>", b"<footer>Made by ncfm-hub."  # marks of a report
_END = 1000  # bytes read from the end to find the footer


def write_report(
    targets: Named | Sequence[Named],
    path: Named = FILE,
    *,
    source: Named | None = None,
    start: bool = True,
    dry_run: bool = False,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write an HTML report on one or more distilled datasets and return its path.

    The page is self-contained: no scripts, no external requests. Missing measurements are left out.

    targets: folders or Hub repositories
    path: the .html file to write; an earlier report is replaced, any other file is refused
    source: pipeline, Hub id or folder, in place of the recorded source
    start: also show the initialisation, which is sampled again from the source; if False the source is not read
    dry_run: read everything, and write nothing
    revision, token, progress: as for `evaluate`
    Raises DistilledError for a target that is not a distilled dataset or is damaged, and if `path` is not replaceable.
    """
    path, source, progress = path_of(path), text_of(source), progress or Silent()
    _check_free(path)
    found = [
        gather(target, source=source, with_start=start, revision=revision, token=token, progress=progress)
        for target in texts_of(targets)
    ]
    page = render_page(found)
    if not dry_run:
        write_text(path, page)
    return path


def _check_free(path: Path) -> None:
    if path.is_dir():
        raise DistilledError(f"{path} is a folder; name the .html file to write")
    if path.exists() and not _is_page(path):
        raise DistilledError(
            f"{path} is there already and is no report of ncfm-hub, so it stays; move it away or name another file"
        )


def _is_page(path: Path) -> bool:
    """Return whether `path` is a report. Anything but a regular file is not opened."""
    if not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            begins = file.read(len(_BEGINS)) == _BEGINS
            file.seek(max(0, path.stat().st_size - _END))
            return begins and _ENDS_IN in file.read()
    except OSError:  # unreadable: not known to be a report, so kept
        return False
