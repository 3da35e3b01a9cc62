"""The page as HTML: the templates `report*.j2` of `model_cards/`, in which whatever is printed is escaped."""

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards.escaping import Ready, plain
from ncfm_hub.publishing.cards.templates import duration, setting
from ncfm_hub.publishing.dataset.layout import PIPELINE, RESULTS
from ncfm_hub.reporting.gather import Gathered
from ncfm_hub.reporting.sections import compare, sections_of
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.resources import data_folder

TEMPLATE = "report.html.j2"
_FAULTS = (KeyError, TypeError, AttributeError, ValueError, ArithmeticError)  # of values that are not as documented
_MARKDOWN = re.compile(r"\*\*(?P<strong>.+?)\*\*|`(?P<code>[^`]+)`|<(?P<link>https?://[^<>\s]+)>")


def render_page(sets: Sequence[Gathered]) -> str:
    """The page about `sets`, of which there is one at least; the same sets give the same text.

    Raises DistilledError, naming the set, where a file says something that no page can be made of.
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


def _render(context: dict[str, Any]) -> str:
    import jinja2

    class Missing(jinja2.Undefined):
        """False in a condition, an error where it would be printed."""

        __str__ = jinja2.Undefined._fail_with_undefined_error

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_folder("model_cards")),
        autoescape=True,
        finalize=shown,
        undefined=Missing,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
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
    try:
        return environment.get_template(TEMPLATE).render(context)
    except (jinja2.UndefinedError, *_FAULTS) as error:
        names = " or ".join(it["name"] for it in context["sets"])
        raise DistilledError(_not_documented(names, error)) from error
    except jinja2.TemplateError as error:
        raise DistilledError(f"model_cards/{TEMPLATE}: {error}") from error


def shown(value: Any) -> Any:
    """What the template prints: text from elsewhere in one short line, text of ours as it is. Escaped afterwards."""
    if isinstance(value, Markup):
        return value
    return from_markdown(value) if isinstance(value, Ready) else plain(value)


def whole(value: str) -> Markup:
    """Text of ours of any length: geometry, images."""
    return escape(value)


def from_markdown(text: Ready) -> Markup:
    """What the cards' functions say in Markdown, where every special character of a value is an entity already."""

    def tag(found: re.Match[str]) -> str:
        kind, inside = found.lastgroup, found[found.lastgroup or 0]
        if kind == "link":
            address = inside.replace("&", "&amp;")
            return f'<a href="{address}" rel="noopener noreferrer">{address}</a>'
        return f"<{kind}>{inside}</{kind}>"

    return Markup(_MARKDOWN.sub(tag, text.replace('"', "&#34;").replace("'", "&#39;")))
