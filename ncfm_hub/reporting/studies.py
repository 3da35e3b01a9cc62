"""Plot the studies stored in a dataset's folder: `continual.json` and `nas.json`."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ncfm_hub.errors import DistilledError
from ncfm_hub.evaluation.search.report import PROXIES
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.layout import CONTINUAL, SEARCH
from ncfm_hub.publishing.dataset.studies import why_not_of
from ncfm_hub.reporting.charts import Line, Plot, make_plot
from ncfm_hub.reporting.measurements import Accuracy, Count, Finite, first_fault
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.progress import Progress


class _Step(BaseModel):
    classes: Count
    accuracy: Accuracy


class _Memory(BaseModel):
    memory: str
    labels: str
    steps: list[_Step]


class _ContinualProtocol(BaseModel):
    orders: Count | None = None
    notes: list[str] = []


class Continual(BaseModel):
    """Class-incremental learning: accuracy over the classes seen so far after each step, for each memory."""

    images_sha256: str | None = None
    class_names: list[str]
    memories: list[_Memory]
    protocol: _ContinualProtocol = _ContinualProtocol()


class _Candidate(BaseModel):
    name: str
    whole: Accuracy
    distilled: Accuracy | None = None
    random: Accuracy | None = None


class _Bounded(BaseModel):
    value: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None


class _Agreement(BaseModel):
    spearman: _Bounded
    kendall: _Bounded


class _SearchProtocol(BaseModel):
    split: str | None = None
    proxy_updates: Count | None = None
    whole_updates: Count | None = None
    distilled_from_test_images: bool = False


class Search(BaseModel):
    """Architectures with their accuracy after training on a proxy and on the full training set, and rank agreement."""

    images_sha256: str | None = None
    architectures: list[_Candidate]
    agreement: dict[str, _Agreement] = {}
    protocol: _SearchProtocol = _SearchProtocol()


def read_continual(folder: Path, distilled: Distilled, progress: Progress) -> Continual | None:
    """Read the study; None if there is none of this dataset.

    Raises DistilledError if it is damaged or of other classes.
    """
    found = _read(folder / CONTINUAL, Continual, distilled, progress)
    if found is not None and tuple(found.class_names) != distilled.class_names:
        raise DistilledError(
            f"{folder / CONTINUAL} is about other classes than the dataset in that folder; move it away"
        )
    return found


def read_search(folder: Path, distilled: Distilled, progress: Progress) -> Search | None:
    """Read the search; None if there is none of this dataset. Raises DistilledError if it is damaged."""
    return _read(folder / SEARCH, Search, distilled, progress)


def _read(path: Path, model: type[Any], distilled: Distilled, progress: Progress) -> Any:
    """Read a study's JSON; None if there is none, or, with a note, if it is of other images."""
    if not path.is_file():
        return None
    try:
        found = model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise DistilledError(f"{path} is not as documented: {first_fault(error)}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise DistilledError(f"{path} is not JSON: {error}") from error
    if reason := why_not_of(distilled.digest, found.images_sha256):
        progress.note(f"{path} is left out: {reason}")
        return None
    return found


def continual_plot(found: Continual, tones: dict[str, str]) -> Plot | None:
    """Plot a line per memory, with a band of one standard deviation over class orders. tones: by memory."""
    lines = [
        Line(
            f"{memory.memory}, {memory.labels} labels",
            tones.get(memory.memory, "other"),
            tuple((float(step.classes), step.accuracy.mean) for step in memory.steps),
            spread=tuple(step.accuracy.std or 0.0 for step in memory.steps),
            dots=True,
        )
        for memory in found.memories
        if memory.steps
    ]
    if not lines:
        return None
    said = "; ".join(f"{line.name}: from {line.points[0][1]:.1f} to {line.points[-1][1]:.1f} percent" for line in lines)
    return make_plot(lines, "classes seen", "test accuracy (%)", said)


def search_plot(found: Search, tones: dict[str, str]) -> Plot | None:
    """Plot a dot per architecture and proxy: accuracy after training on the proxy and on the full training set."""
    lines = [
        Line(
            f"trained on {PROXIES[proxy]}",
            tones.get(proxy, "other"),
            tuple((figure.mean, one.whole.mean) for one in found.architectures if (figure := getattr(one, proxy))),
            joined=False,
            dots=True,
        )
        for proxy in ("random", "distilled")
    ]
    lines = [line for line in lines if line.points]
    said = f"{counted(len(found.architectures), 'architecture')} by accuracy on a proxy and on the full training set"
    x_label, y_label = (
        "accuracy after training on the proxy (%)",
        "accuracy after training on the full training set (%)",
    )
    return make_plot(lines, x_label, y_label, said) if lines else None
