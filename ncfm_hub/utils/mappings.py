"""Read YAML and JSON mappings that may come from a third party."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ncfm_hub.errors import DistilledError

Kinds = Mapping[str, type]
# What PyYAML raises, beside its own errors, for a scalar that does not fit its tag: `!!int ''`, `!!bool x`.
UNFIT_SCALAR = (LookupError, AttributeError)
_TOO_DEEP = "it is nested too deeply"
_DEEPEST = 100  # levels; libyaml's own recursion into thousands of them ends the process
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
        content = json.loads(text) if kind == "JSON" else load_yaml(text)
    except RecursionError:  # of JSON's parser too
        raise ValueError(_TOO_DEEP) from None
    except (yaml.YAMLError, *UNFIT_SCALAR) as error:
        raise ValueError(str(error)) from error
    _check_size(content)
    return content


def load_yaml(text: str, loader: Any = None, aliases: bool = True) -> Any:
    """Parse YAML as PyYAML's `safe_load` does, by libyaml where it is there, which takes a tenth of the time.

    loader: a class derived from `safe_loader()`; aliases: allow `*name`, by which a few lines can expand beyond memory
    Raises yaml.YAMLError, or one of UNFIT_SCALAR, if it is malformed; RecursionError if it is nested too deeply;
    ValueError for an alias that is not allowed.
    """
    import yaml

    depth = 0
    try:
        for event in yaml.parse(text, Loader=safe_loader()):
            if isinstance(event, yaml.AliasEvent) and not aliases:
                raise ValueError("it has aliases, `*name`; write them out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise RecursionError(_TOO_DEEP)
    except yaml.scanner.ScannerError as error:
        if "nesting depth" in str(error.problem):  # libyaml's own limit, which it meets as it reads ahead
            raise RecursionError(_TOO_DEEP) from None
        raise
    return yaml.load(text, Loader=loader or safe_loader())


def safe_loader() -> Any:
    """Return PyYAML's safe loader in its fastest form."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
