"""Validate `results.json`, which may come from a third party, before anything in it is drawn."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import RESULTS
from ncfm_hub.publishing.dataset.records import read_results
from ncfm_hub.utils.counting import counted

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Summary(BaseModel):
    """A figure over n students (evaluation networks)."""

    n: Count
    mean: Finite
    std: Spread | None = None


class Accuracy(Summary):
    """A summary in percent."""

    mean: Percent


class MeasuredRow(BaseModel):
    """A row of the results table.

    student: architecture, if there are several
    extractors: digest of the extractors that contributed to its images or labels
    """

    set: str
    labels: str
    images: Count | None = None
    accuracy: Accuracy | None = None
    per_class: list[Percent | None] = []
    student: str | None = None
    extractors: str | None = None


class MeasuredDistillation(BaseModel):
    """The loss over steps, as (step, loss).

    first, last: components by name
    matching: what was matched
    classes: names of the classes it refers to, if they were appended; empty for all
    """

    classes: list[str] = []
    matching: str | None = None
    curve: list[tuple[Count, Finite]] = []
    first: dict[str, Finite] = {}
    last: dict[str, Finite] = {}
    floor: Finite | None = None


class Ranking(BaseModel):
    """DD-Ranking metrics as fractions, and the labels they were computed with."""

    HLR: Summary | None = None
    IOR: Summary | None = None
    IOR_plain: Summary | None = None
    LRS: Summary | None = None
    ARS: Summary | None = None
    labels: str | None = None


class Measurements(BaseModel):
    """The part of `results.json` that a report shows; empty where nothing was measured. Unknown keys are ignored."""

    rows: list[MeasuredRow] = []
    protocol: dict[str, Any] = {}
    cross_architecture: list[MeasuredRow] = []
    distillation: MeasuredDistillation = MeasuredDistillation()
    ranking: Ranking = Ranking()


def read_measurements(folder: Path, classes: int) -> Measurements:
    """Read the measurements in `folder`.

    Raises DistilledError naming the problem, also if accuracies by class are not of `classes` classes.
    """
    content = read_results(folder)
    try:
        found = Measurements.model_validate(content)
    except (ValidationError, OverflowError) as error:
        raise DistilledError(f"{folder / RESULTS} is not as documented: {first_fault(error)}") from error
    for row in found.rows:
        if len(row.per_class) not in (0, classes):
            raise DistilledError(
                f"{folder / RESULTS}: the row {row.set!r} has accuracies of {counted(len(row.per_class), 'class')}; "
                f"the dataset has {classes}"
            )
    return found


def first_fault(error: Exception) -> str:
    """Describe the first problem found by pydantic or a conversion."""
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place} is {str(fault['input'])[:60]!r} ({fault['msg'][:1].lower()}{fault['msg'][1:]})"
