"""Metadata files of an image folder: metadata.csv, metadata.jsonl and metadata.parquet."""

import io
import posixpath
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.listing import Listed

if TYPE_CHECKING:
    import pyarrow as pa

_FILE = "file_name"


def read_metadata(
    contents: Mapping[Listed, bytes], places: Collection[PurePosixPath], dataset: str
) -> "tuple[pa.Table, dict[PurePosixPath, int], int]":
    """Return all columns but file names, the row of each image by its path, and the number of rows without an image.

    places: paths of the images
    Raises SourceError naming a file that is unreadable or names an image twice.
    """
    import pyarrow as pa

    tables: list[pa.Table] = []
    rows: dict[PurePosixPath, int] = {}
    total = 0
    for listed, data in contents.items():
        where = f"{dataset}: {listed.name}"
        try:
            table = _parse(listed.place.suffix, data)
        except (pa.ArrowException, ValueError) as error:
            raise SourceError(f"{where} cannot be read: {str(error).splitlines()[0]}") from error
        column = _file_column(table, where)
        for row, name in enumerate(table[column].to_pylist(), total):
            path = PurePosixPath(posixpath.normpath(listed.place.parent / str(name).replace("\\", "/")))
            if path in rows:
                raise SourceError(f"{where} lists {name!r} twice; multi-label images are not supported")
            if path in places:
                rows[path] = row
        total += len(table)
        tables.append(table.drop_columns([column]))
    try:
        return pa.concat_tables(tables, promote_options="permissive"), rows, total - len(rows)
    except pa.ArrowException as error:
        files = ", ".join(listed.name for listed in contents)
        raise SourceError(f"{dataset}: {files} have a column with different types: {error}") from error


def _parse(suffix: str, data: bytes) -> "pa.Table":
    """Parse a file; types are inferred from all rows, and empty fields are null."""
    from pyarrow import csv, json, parquet

    whole = max(len(data), 1)
    if suffix == ".csv":
        return csv.read_csv(
            io.BytesIO(data),
            csv.ReadOptions(block_size=whole),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
        )
    if suffix == ".jsonl":
        return json.read_json(io.BytesIO(data), json.ReadOptions(block_size=whole))
    return parquet.read_table(io.BytesIO(data))


def _file_column(table: "pa.Table", where: str) -> str:
    named = [name for name in table.column_names if name.endswith(f"_{_FILE}")]
    if _FILE in table.column_names:
        return _FILE
    if len(named) != 1:
        raise SourceError(f"{where} has no column {_FILE!r}; columns: {', '.join(table.column_names)}")
    return named[0]
