"""From distilled sets to one page."""

from collections.abc import Sequence
from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.reporting.gather import gather
from ncfm_hub.reporting.html import render_page
from ncfm_hub.utils.files import write_text
from ncfm_hub.utils.named import Named, path_of, text_of, texts_of
from ncfm_hub.utils.progress import Progress, Silent

FILE = "report.html"
_BEGINS, _ENDS_IN = b"<!DOCTYPE html>", b"<footer>Made by ncfm-hub."  # a page of ours
_END = 1000  # bytes, in which the footer stands


def write_report(
    targets: Named | Sequence[Named],
    path: Named = FILE,
    *,
    source: Named | None = None,
    start: bool = True,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write one HTML page about one or more distilled sets, folders or Hub repositories, and return its path.

    The page needs nothing but itself: no script, no request to anywhere. What was not measured is left out.
    source: a pipeline's name, a Hub id or a folder, in place of the source that each set names
    start: also show what the distillation set out from, which is drawn again from the source; without it the source is
        not read
    Raises DistilledError, one line, for a target that is no distilled set of ours or whose files are damaged, and where
    `path` is there already and is anything but a page of ours, which alone is replaced.
    """
    path, source, progress = path_of(path), text_of(source), progress or Silent()
    _check_free(path)
    found = [
        gather(target, source=source, with_start=start, revision=revision, token=token, progress=progress)
        for target in texts_of(targets)
    ]
    write_text(path, render_page(found))
    return path


def _check_free(path: Path) -> None:
    if path.is_dir():
        raise DistilledError(f"{path} is a folder; name the .html file to write")
    if path.exists() and not _is_page(path):
        raise DistilledError(
            f"{path} is there already and is no report of ncfm-hub, so it stays; move it away or name another file"
        )


def _is_page(path: Path) -> bool:
    """Whether `path` is a file that `write_report` wrote. What is no ordinary file is not even opened."""
    if not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            begins = file.read(len(_BEGINS)) == _BEGINS
            file.seek(max(0, path.stat().st_size - _END))
            return begins and _ENDS_IN in file.read()
    except OSError:  # a file that cannot be read is anyone's
        return False
