"""What a folder's `results.json` holds, checked before any of it is drawn: it may come from anyone."""

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
    """Any figure over n students."""

    n: Count
    mean: Finite
    std: Spread | None = None


class Accuracy(Summary):
    """In percent."""

    mean: Percent


class MeasuredRow(BaseModel):
    """A training set and the accuracy of its students; `student` names their architecture where there are several,
    `extractors` is the digest of those that had a part in the set."""

    set: str
    labels: str
    images: Count | None = None
    accuracy: Accuracy | None = None
    per_class: list[Percent | None] = []
    student: str | None = None
    extractors: str | None = None


class Distillation(BaseModel):
    """The loss over the steps, (step, loss); `first` and `last` have its parts by name, `matching` says of what.

    classes: names of those it is of, where they were added to a set that was there; none where it is of all
    """

    classes: list[str] = []
    matching: str | None = None
    curve: list[tuple[Count, Finite]] = []
    first: dict[str, Finite] = {}
    last: dict[str, Finite] = {}
    floor: Finite | None = None


class Ranking(BaseModel):
    """DD-Ranking's figures as fractions, and the kind of labels they were measured with."""

    HLR: Summary | None = None
    IOR: Summary | None = None
    IOR_plain: Summary | None = None
    LRS: Summary | None = None
    ARS: Summary | None = None
    labels: str | None = None


class Measurements(BaseModel):
    """`results.json`, as far as a page shows it; what was not measured is empty. Other keys are not looked at."""

    rows: list[MeasuredRow] = []
    protocol: dict[str, Any] = {}
    cross_architecture: list[MeasuredRow] = []
    distillation: Distillation = Distillation()
    ranking: Ranking = Ranking()


def read_measurements(folder: Path, classes: int) -> Measurements:
    """The measurements in `folder`. Raises DistilledError that names what is wrong, also where a row's accuracies by
    class are not of `classes` classes."""
    content = read_results(folder)
    try:
        found = Measurements.model_validate(content)
    except (ValidationError, OverflowError) as error:
        raise DistilledError(f"{folder / RESULTS} is not as documented: {first_fault(error)}") from error
    for row in found.rows:
        if len(row.per_class) not in (0, classes):
            raise DistilledError(
                f"{folder / RESULTS}: the row {row.set!r} has accuracies of {counted(len(row.per_class), 'class')}; "
                f"the set has {classes}"
            )
    return found


def first_fault(error: Exception) -> str:
    """What pydantic or a conversion found wrong first, in words."""
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place} is {str(fault['input'])[:60]!r} ({fault['msg'][:1].lower()}{fault['msg'][1:]})"
