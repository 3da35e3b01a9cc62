"""Describe an imported third-party dataset on its card, from `imported` in pipeline.yaml."""

from collections.abc import Mapping
from typing import Any

from ncfm_hub.publishing.cards.escaping import Ready, code, inline


def origin_of(imported: Mapping[str, Any]) -> list[Ready]:
    """Return sentences on the file, its authors, and how importing changed values."""
    said = [f"Imported from {code(imported['file'])}, SHA-256 {code(imported['sha256'])}"]
    if "labels_file" in imported:
        said[0] += f", labels from {code(imported['labels_file'])}, SHA-256 {code(imported['labels_sha256'])}"
    said[0] += "."
    if "made_by" in imported:
        said.append(f"Made by, as the one who imported it says: {inline(imported['made_by'])}.")
    if figures := imported.get("normalised_by"):
        mean, std = (inline(", ".join(f"{value:g}" for value in figures[key])) for key in ("mean", "std"))
        said.append(f"Its images were normalised by mean {mean} and deviation {std} ({inline(figures['origin'])}).")
    if cut := imported.get("cut"):
        said.append(
            f"{cut['share']:.2%} of the values lay outside 0 to 1 (from {cut['lowest']:g} to {cut['highest']:g}) and "
            "were cut, so accuracies may differ from those of the file."
        )
    said.append("Pixels were rounded to 8 bits.")
    if not imported["soft_labels"]:
        said.append("The file has no soft labels: those of this set are one-hot.")
    said.append("How it was distilled is not known here; the settings below are those it is measured with.")
    return [Ready(line) for line in said]
