"""Gather everything that a report shows of a dataset, from its folder and, for the initialisation, its source."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.publishing.dataset.dataset import Distilled, to_pixels
from ncfm_hub.publishing.dataset.loading import locate
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.reporting.measurements import Measurements, read_measurements
from ncfm_hub.reporting.studies import Continual, Search, read_continual, read_search
from ncfm_hub.utils.progress import Progress

if TYPE_CHECKING:
    import torch

_NOT_SHOWN = "The initialisation is not shown: {}."
_DOUBTFUL = "The initialisation may differ: the source read for this page may not be the one that was distilled."


@dataclass(frozen=True)
class Gathered:
    """A dataset to report on.

    name: as the user named it
    described: its `pipeline.yaml`
    start: uint8 (S, c, H, W), the initialisation; None if unknown
    start_note: a sentence on why it is unknown or uncertain
    """

    name: str
    described: dict[str, Any]
    distilled: Distilled
    measured: Measurements
    start: "torch.Tensor | None" = None
    start_note: str | None = None
    continual: Continual | None = None
    search: Search | None = None


def gather(
    target: str, *, source: str | None, with_start: bool, revision: str | None, token: str | None, progress: Progress
) -> Gathered:
    """Read the dataset `target`.

    If the recorded source is unavailable, the initialisation is left out; a `source` given by the user must exist.
    Raises DistilledError if it is not a dataset of ncfm-hub or is damaged.
    """
    folder = locate(target, revision=revision, token=token)
    described, distilled = read_pipeline(folder), read_data(folder)
    measured = read_measurements(folder, len(distilled.class_names))
    continual, search = read_continual(folder, distilled, progress), read_search(folder, distilled, progress)
    here = Path(target).expanduser().is_dir()
    start, note = None, None
    if with_start and not here and source is None and _source_is_local(described):
        note = _NOT_SHOWN.format("the source is a local folder on another machine")
    elif with_start:
        start, note = _draw_start(folder, described, distilled, source, token, progress)
    name = Path(target).expanduser().resolve().name if here else target
    return Gathered(name, described, distilled, measured, start, note, continual, search)


def _source_is_local(described: dict[str, Any]) -> bool:
    """Return whether the source is a local path; one recorded on another machine must not be opened here."""
    source = described.get("source")
    return not isinstance(source, dict) or bool(source.get("is_local", True))


def _draw_start(
    folder: Path,
    described: dict[str, Any],
    distilled: Distilled,
    source: str | None,
    token: str | None,
    progress: Progress,
) -> "tuple[torch.Tensor | None, str | None]":
    """Sample the initialisation from the source again, as the run did; returns it with a note."""
    from ncfm_hub.distillation.start import make_start
    from ncfm_hub.evaluation.opening import SubjectOptions, open_subject

    plain = {"engine.precision": "fp32", "engine.compile": "off"}  # no network runs here
    try:
        subject = open_subject(folder, SubjectOptions(source, overrides=plain, token=token), progress)
    except NcfmHubError as error:
        if source is not None:
            raise
        progress.note(f"the initialisation is left out: {error}")
        return None, _NOT_SHOWN.format("the source could not be read")
    if subject.factor is None:
        return None, None
    start = to_pixels(make_start(subject.source, distilled.ipc, distilled.factor, subject.seed))
    same = subject.source.fingerprint == described["source"].get("fingerprint")
    return start, None if same else _DOUBTFUL
