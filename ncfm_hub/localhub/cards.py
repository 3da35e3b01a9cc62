"""Parse the YAML header of a README as untrusted data: bounded, and always serialisable as JSON."""

import math
import re
from typing import Any

import yaml

from ncfm_hub.utils.mappings import UNFIT_SCALAR, load_yaml, safe_loader

_HEADER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.S | re.M)
_MOST_BYTES = 1 << 19
_MOST_VALUES = 200_000
_DEEPEST = 40
_TAG_FIELDS = ("task_categories", "size_categories", "language", "license")


class CardError(ValueError):
    """A header is not usable YAML; the message says why."""


class _Loader(safe_loader()):  # type: ignore[misc]
    """Safe YAML without merge keys, which can double a mapping repeatedly while it is parsed."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.constructor.ConstructorError(None, None, "merge keys (<<) are not supported", node.start_mark)
        super().flatten_mapping(node)


def parse_header(text: str) -> dict[str, Any] | None:
    """Return the header's mapping, None if there is no header. Raises CardError."""
    found = _HEADER.match(text.removeprefix("\ufeff"))
    if not found:
        return None
    if len(found[1]) > _MOST_BYTES:
        raise CardError(f"the header is longer than {_MOST_BYTES:,} bytes")
    try:
        loaded = load_yaml(found[1], _Loader)
        plain = _plain({} if loaded is None else loaded, [_MOST_VALUES], _DEEPEST)
    except CardError:
        raise
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        *UNFIT_SCALAR,
    ) as error:  # ValueError: an invalid date or number
        raise CardError(f"YAML parse error: {error}") from None
    if not isinstance(plain, dict):
        raise CardError("the header must be a mapping")
    return plain


def _plain(value: Any, budget: list[int], depth: int) -> Any:
    """Return a JSON-serialisable copy. The budget stops headers whose aliases expand without limit."""
    budget[0] -= 1
    if budget[0] < 0 or depth < 0:
        raise CardError("the header is too large or too deeply nested")
    if isinstance(value, dict):
        return {_text(key): _plain(item, budget, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item, budget, depth - 1) for item in value]
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _text(value)


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()


def tags(card: dict[str, Any]) -> list[str]:
    """Return the tags of a repository: its own, and `field:value` for the usual fields."""
    found = [str(tag) for tag in _listed(card.get("tags"))]
    return found + [f"{field}:{value}" for field in _TAG_FIELDS for value in _listed(card.get(field))]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value in (None, "") else [value]
