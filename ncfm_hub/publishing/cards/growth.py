"""Describe in words how a dataset grew by `distill --append`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncfm_hub.publishing.cards.escaping import Ready, inline
from ncfm_hub.publishing.dataset.layout import PIPELINE


@dataclass(frozen=True)
class Growth:
    """How a dataset grew, in words.

    parts: one line per part, in order of distillation
    equality: whether the images equal those of one distillation
    extent: which of the stated facts hold for one part only
    """

    came: Ready
    parts: list[Ready]
    equality: Ready
    extent: Ready


def growth_of(pipeline: Mapping[str, Any]) -> Growth | None:
    """Describe the growth of a dataset; None if it was distilled at once."""
    parts, reasons = pipeline.get("parts"), pipeline.get("differs_from_all_at_once")
    if not parts:
        return None
    came = (
        f"The classes, numbered in the order of the source, were added in {len(parts):,} parts, each distilled "
        "separately. Earlier images are unchanged; soft labels were computed again for all:"
    )
    equality = "The images are bit-identical to one distillation of all classes."
    if reasons:
        said = "; ".join(inline(reason) for reason in reasons)
        equality = f"**The images may differ from those of one distillation of all classes**: {said}."
    extent = (
        "Objective, pool, distillation settings, device, times and versions given here are those of the last part; "
        f"`{PIPELINE}` has those of each."
    )
    return Growth(Ready(came), [_part(part) for part in parts], Ready(equality), Ready(extent))


def _part(part: Mapping[str, Any]) -> Ready:
    made = ""
    if part.get("created"):
        made = f" ({inline(part['created'])}, by ncfm-hub {inline(part['versions']['ncfm_hub'])})"
    return Ready(_names(part["classes"]) + made)


def classes_of_losses(distillation: Mapping[str, Any]) -> Ready | None:
    """Return the classes that the losses in `distillation` of results.json refer to; None for all."""
    classes = distillation.get("classes")
    return Ready(f"Loss over the classes added last, {_names(classes)}:") if classes else None


def _names(classes: Sequence[Any]) -> Ready:
    return inline(", ".join(map(str, classes)))
