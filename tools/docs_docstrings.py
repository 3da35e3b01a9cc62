"""Docstrings of the documentation site: each line `name: meaning` becomes an item of a list.

An extension of griffe. In the code such lines follow each other, and Markdown would run them together. A sentence after
them (`Returns ...`, `Raises ...`) becomes a paragraph of its own.
"""

import re
from typing import Any

from griffe import Extension, Object

_ITEM = re.compile(r"^((?:`?\w+`?, )*`?\w+`?): (?=\S)")
_SENTENCE = re.compile(r"^(?:Returns|Raises)\b")


class Docstrings(Extension):
    """Changes every docstring once it is read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_list(obj.docstring.value)


def as_list(text: str) -> str:
    """The docstring `text` in Markdown, its parameters as a list."""
    lines: list[str] = []
    in_item = False
    for line in text.splitlines():
        item = _ITEM.match(line)
        if item or _SENTENCE.match(line) or (in_item and line[:1].isupper()):
            if not (item and in_item):
                lines.append("")
            in_item = bool(item)
        lines.append(f"- `{item[1].replace('`', '')}`: {line[item.end() :]}" if item else line)
    return "\n".join(lines)
