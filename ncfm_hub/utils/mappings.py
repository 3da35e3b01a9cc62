"""Read YAML and JSON mappings that may come from a third party."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ncfm_hub.errors import DistilledError

Kinds = Mapping[str, type]
# What PyYAML raises, beside its own errors, for a scalar that does not fit its tag: `!!int ''`, `!!bool x`.
UNFIT_SCALAR = (LookupError, AttributeError)
_MOST = 1_000_000  # values; a few lines of YAML with references can expand beyond memory


def read_mapping(path: Path, kind: Literal["YAML", "JSON"], kinds: Kinds | None = None) -> dict[str, Any]:
    """Read the mapping in a file. kinds: expected types of some values, if present and not null.

    Raises FileNotFoundError, and DistilledError for a file that is not such a mapping.
    """
    try:
        content = parse_text(path.read_text(encoding="utf-8"), kind)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise DistilledError(f"{path} is not {kind}: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise DistilledError(f"{path} holds a {type(content).__name__}; expected keys and values")
    for key, wanted in (kinds or {}).items():
        value = content.get(key)
        if value is not None and not isinstance(value, wanted):
            expected = "a list" if wanted is list else "keys and values"
            raise DistilledError(f"{path}: `{key}` is a {type(value).__name__}; expected {expected}")
    return content


def parse_text(text: str, kind: Literal["YAML", "JSON"]) -> Any:
    """Parse a text. Raises ValueError if it is malformed, too deeply nested or too large."""
    import yaml

    try:
        content = json.loads(text) if kind == "JSON" else yaml.safe_load(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, *UNFIT_SCALAR) as error:
        raise ValueError(str(error)) from error
    _check_size(content)
    return content


def _check_size(content: Any) -> None:
    """Check the expanded size, in which a value referenced several times counts as often."""
    left, count = [content], 0
    while left:
        count += 1
        if count > _MOST:
            raise ValueError(f"it stands for more than {_MOST:,} values")
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
