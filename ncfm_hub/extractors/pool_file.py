"""Validate `pool.json`, which may come from another machine, before hours of work depend on it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ncfm_hub.errors import Damaged, PoolError
from ncfm_hub.networks.build import Architecture
from ncfm_hub.recipes.files import found
from ncfm_hub.recipes.schema import MOST_MEMBERS, Pixels
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.sealed import load_record

POOL_FILE = "pool.json"


def _beta(text: str) -> str:
    if not 0 <= float(text) <= 1:
        raise ValueError("expected a share of initial weights from 0 to 1 as text")
    return text


_Count = Annotated[int, Field(ge=1)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Percent = Annotated[float, Field(ge=0, le=100)]
_Beta = Annotated[str, AfterValidator(_beta)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)  # unknown keys, from other versions, are ignored


class _Architecture(_Part):
    name: str
    classes: _Count
    channels: _Count
    resolution: Pixels
    mean: list[_Number]
    std: list[_Deviation]


class _Member(_Part):
    accuracy: dict[_Beta, _Percent]


class _MeasuredOn(_Part):
    split: str
    images: _Count


class PoolFile(_Part):
    """The keys of `pool.json` that this version reads."""

    key: str
    digest: _Sha256 | None = None  # of all weights; pools of earlier versions state none
    architecture: _Architecture
    class_names: list[str]
    members: Annotated[list[_Member], Field(max_length=MOST_MEMBERS)]
    pretrained: str | None = None
    measured_on: _MeasuredOn | None = None

    def network(self) -> Architecture:
        """Architecture of the pool's networks."""
        return Architecture.from_dict(self.architecture.model_dump())


def read_pool_file(folder: Path, origin: str, *, digest_needed: bool = False) -> tuple[dict[str, Any], PoolFile]:
    """Read a `pool.json`; returns all that it states, and the keys that this version reads, validated.

    digest_needed: it must have its own digest
    Raises PoolError naming the pool and the problem.
    """
    try:
        described = load_record(folder / POOL_FILE, digest_needed=digest_needed)
    except FileNotFoundError:
        raise PoolError(f"{origin} is not an extractor pool: it has no {POOL_FILE}") from None
    except (OSError, Damaged) as error:
        raise PoolError(f"{origin}: {POOL_FILE} is not readable ({error})") from None
    return described, check_pool_file(described, origin)


def check_pool_file(described: Mapping[str, Any], origin: str) -> PoolFile:
    """Validate the content of a `pool.json`: types and consistency.

    Raises PoolError naming the pool, the file and the key.
    """
    where = f"{origin}: {POOL_FILE}"
    try:
        content = PoolFile.model_validate(described)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        wrong = "is missing" if first["type"] == "missing" else f"is {found(first['input'])}; {_expected(first['msg'])}"
        raise PoolError(f"{where} is not readable: `{key}` {wrong}" if key else f"{where} is not readable") from None
    shape, names = content.architecture, content.class_names
    if shape.classes != len(names):
        raise PoolError(f"{where} names {counted(len(names), 'class')}; its networks have {shape.classes}")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise PoolError(f"{where} names the class {twice!r} twice in `class_names`")
    for key in ("mean", "std"):
        count = len(getattr(shape, key))
        if count != shape.channels:
            raise PoolError(
                f"{where}: `architecture.{key}` has {count} numbers; expected one a channel ({shape.channels})"
            )
    if not content.members:
        raise PoolError(f"{where} lists no members")
    return content


def _expected(message: str) -> str:
    """Rephrase pydantic's "Input should be a valid string" in the style of the other messages."""
    return message.replace("Input should be", "expected", 1).replace("Value error, ", "", 1)
