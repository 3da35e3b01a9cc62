"""Where the folders that users edit (`pipelines/`, `model_cards/`) lie: beside the package, or inside the wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def data_folder(name: str) -> Path:
    """Folder `name` as shipped in the wheel, else as it stands at the top of a checkout."""
    shipped = _PACKAGE / "_data" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name
