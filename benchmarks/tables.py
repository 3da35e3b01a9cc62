"""Measured tables in Markdown files, between markers, so that no figure is typed in by hand."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def put_table(file: str, name: str, text: str) -> None:
    """Replace what stands between `<!-- table:name -->` and `<!-- /table:name -->` in a file of the repository."""
    path = ROOT / file
    begin, end = f"<!-- table:{name} -->", f"<!-- /table:{name} -->"
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.S)
    content = path.read_text()
    if not pattern.search(content):
        raise SystemExit(f"{file} has no markers {begin} ... {end}")
    path.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", content))
