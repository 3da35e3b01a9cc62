"""Render the page from the templates `report*.j2` of `model_cards/`, escaping everything they print."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards.escaping import Ready, plain
from ncfm_hub.publishing.cards.templates import duration, setting, template_environment
from ncfm_hub.publishing.dataset.layout import PIPELINE, RESULTS
from ncfm_hub.reporting.gather import Gathered
from ncfm_hub.reporting.sections import compare, sections_of
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.resources import data_folder

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "report.html.j2"
_FAULTS = (KeyError, TypeError, AttributeError, ValueError, ArithmeticError)  # raised by malformed values
_MARKDOWN = re.compile(r"\*\*(?P<strong>.+?)\*\*|`(?P<code>[^`]+)`|<(?P<link>https?://[^<>\s]+)>")


def render_page(sets: Sequence[Gathered]) -> str:
    """Render the page for `sets`, at least one; equal input gives equal text.

    Raises DistilledError naming the dataset whose files have malformed values.
    """
    shown = []
    for it in sets:
        try:
            shown.append(sections_of(it, sets_on_page=len(sets)))
        except _FAULTS as error:
            raise DistilledError(_not_documented(it.name, error)) from error
    return _render({"sets": shown, "comparison": compare(sets) if len(sets) > 1 else []})


def _not_documented(name: str, error: Exception) -> str:
    return f"{name}: {PIPELINE} or {RESULTS} is not as documented: {type(error).__name__} {error}"


@cache  # with its compiled templates; one that has changed is compiled anew
def _for_pages(folder: Path) -> "Environment":
    filters = {
        "whole": whole,
        "count": lambda number: f"{number:,}",
        "counted": counted,
        "points": lambda number: f"{number:.1f}",
        "signed": lambda number: f"{number:+.1f}".replace("-", "−"),
        "figure": lambda number: f"{number:.4g}",
        "hundredths": lambda number: f"{number:.2f}".replace("-", "−"),
        "thousandths": lambda number: f"{number:.3f}",
        "sentence": lambda text: f"{text[:1].upper()}{text[1:]}.",
        "duration": duration,
        "setting": setting,
    }
    return template_environment(folder, filters, shown, html=True)


def _render(context: dict[str, Any]) -> str:
    import jinja2

    try:
        return _for_pages(data_folder("model_cards")).get_template(TEMPLATE).render(context)
    except (jinja2.UndefinedError, *_FAULTS) as error:
        names = " or ".join(it["name"] for it in context["sets"])
        raise DistilledError(_not_documented(names, error)) from error
    except jinja2.TemplateError as error:
        raise DistilledError(f"model_cards/{TEMPLATE}: {error}") from error


def shown(value: Any) -> Any:
    """Return what a template prints: untrusted text as one short line, own text unchanged. Escaped afterwards."""
    if isinstance(value, Markup):
        return value
    return from_markdown(value) if isinstance(value, Ready) else plain(value)


def whole(value: str) -> Markup:
    """Mark own text of any length, such as geometry and images, as safe."""
    return escape(value)


def from_markdown(text: Ready) -> Markup:
    """Convert Markdown of the card functions, in which special characters of values are already entities."""

    def tag(found: re.Match[str]) -> str:
        kind, inside = found.lastgroup, found[found.lastgroup or 0]
        if kind == "link":
            address = inside.replace("&", "&amp;")
            return f'<a href="{address}" rel="noopener noreferrer">{address}</a>'
        return f"<{kind}>{inside}</{kind}>"

    return Markup(_MARKDOWN.sub(tag, text.replace('"', "&#34;").replace("'", "&#39;")))
