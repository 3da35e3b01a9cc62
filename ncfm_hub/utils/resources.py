"""Find the folders that users can edit (`pipelines/`, `model_cards/`): beside the package, or inside the wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def data_folder(name: str) -> Path:
    """Return the folder `name` in the wheel, else at the root of the checkout."""
    shipped = _PACKAGE / "_data" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name
