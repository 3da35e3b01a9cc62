"""Markdown of the documentation site: GitHub's notation in a form that mkdocs draws, without a script.

A hook of mkdocs. Formulas become MathML: a fenced block `math`, and within a line what stands between dollar signs and
backticks. A bar escaped in code, which GitHub wants in tables, loses its backslash, which mkdocs would show.
"""

import re
from typing import Any

from latex2mathml.converter import convert

_BLOCK = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"\$`(.+?)`\$", re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page as mkdocs should read it."""
    markdown = _BLOCK.sub(lambda found: f"\n{convert(found[1].strip(), display='block')}\n", markdown)
    # In a span, as a line that begins with <math> would be taken for a paragraph of its own.
    markdown = _INLINE.sub(lambda found: f"<span>{convert(found[1])}</span>", markdown)
    return _CODE.sub(lambda found: found[0].replace(r"\|", "|"), markdown)
