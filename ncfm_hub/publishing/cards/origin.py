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
        said.append(f"Authors, as stated at import: {inline(imported['made_by'])}.")
    if figures := imported.get("normalised_by"):
        mean, std = (inline(", ".join(f"{value:g}" for value in figures[key])) for key in ("mean", "std"))
        said.append(f"The images were normalised with mean {mean} and std {std} ({inline(figures['origin'])}).")
    if cut := imported.get("cut"):
        said.append(
            f"{cut['share']:.2%} of the values were outside [0, 1] (from {cut['lowest']:g} to {cut['highest']:g}) and "
            "were clipped, so accuracies may differ from those of the file."
        )
    said.append("Pixels were rounded to 8 bits.")
    if assumed := imported.get("assumed"):
        said.append(f"Assumed at import: {'; '.join(inline(assumption) for assumption in assumed)}.")
    if not imported["soft_labels"]:
        said.append("The file has no soft labels; those given here are one-hot.")
    said.append("Distillation settings are unknown; the settings below are those of the evaluation.")
    return [Ready(line) for line in said]
