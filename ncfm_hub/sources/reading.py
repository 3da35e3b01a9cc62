"""Turn errors while reading a dataset's files into one readable line."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.lookup import hub_errors, quiet_clients
from ncfm_hub.sources.place import Place
from ncfm_hub.utils.hub_errors import cause_of


@contextmanager
def reading(place: Place) -> Iterator[None]:
    """Turn errors of `datasets` on unusable files into a SourceError."""
    from datasets.exceptions import DatasetsError

    with quiet_clients(), hub_errors(f"dataset {place.dataset}", place.revision):
        try:
            yield
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error):
                raise
            raise SourceError(
                f"{place.dataset} is a loading script, which `datasets` no longer runs; "
                "try its parquet copy: --revision refs/convert/parquet"
            ) from error
        except (DatasetsError, FileNotFoundError, ValueError, zipfile.BadZipFile) as error:
            if cause_of(error):
                raise
            raise SourceError(f"{place.dataset} cannot be read: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None and not isinstance(error.__cause__, SourceError):
        error = error.__cause__  # the cause, which `datasets` wraps
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
