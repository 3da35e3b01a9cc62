"""YAML and JSON of keys and values that may come from anyone: what is read, or why it cannot be."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ncfm_hub.errors import DistilledError

Kinds = Mapping[str, type]
_MOST = 1_000_000  # values; a few lines of YAML with references can stand for more than memory holds


def read_mapping(path: Path, kind: Literal["YAML", "JSON"], kinds: Kinds | None = None) -> dict[str, Any]:
    """The keys and values of a file. kinds: what some of the values are, where they are there and not null.

    Raises FileNotFoundError, and DistilledError, one line, for a file that is nothing of the kind.
    """
    try:
        content = parse(path.read_text(encoding="utf-8"), kind)
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


def parse(text: str, kind: Literal["YAML", "JSON"]) -> Any:
    """The value that a text stands for. Raises ValueError where it is none, is nested too deeply, or is too large."""
    import yaml

    try:
        content = json.loads(text) if kind == "JSON" else yaml.safe_load(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    _check_size(content)
    return content


def _check_size(content: Any) -> None:
    """Counted as it would be written out: what is referred to several times counts as often."""
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
