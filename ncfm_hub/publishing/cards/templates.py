"""Render the card templates of `model_cards/`, escaping everything they print."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards.escaping import Ready, code, fenced, inline, literal
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.resources import data_folder

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, context: dict[str, Any]) -> str:
    """Render `model_cards/<template>` with `context` as Markdown.

    Raises DistilledError if the template, which users may edit, is invalid.
    """
    import jinja2

    try:
        return _for_cards(data_folder("model_cards")).get_template(template).render(context)
    except jinja2.TemplateError as error:
        raise DistilledError(f"model_cards/{template}: {error}") from error


def template_environment(
    folder: Path, filters: dict[str, Any], finalize: Callable[[Any], Any], *, html: bool
) -> "Environment":
    """Return an environment for the templates in `folder`, which compiles each once.

    A missing value is false in a condition and an error where it is printed.
    finalize: applied to everything that is printed
    html: escape HTML
    """
    import jinja2

    class Missing(jinja2.Undefined):
        __str__ = jinja2.Undefined._fail_with_undefined_error

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=html,
        finalize=finalize,
        undefined=Missing,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= filters
    return made


@cache  # with its compiled templates; one that has changed is compiled anew
def _for_cards(folder: Path) -> "Environment":
    filters = {
        "code": code,
        "fenced": fenced,
        "literal": literal,
        "count": lambda number: Ready(f"{number:,}"),
        "counted": lambda *words: Ready(counted(*words)),
        "points": lambda number: Ready(f"{number:.1f}"),
        "fraction": lambda number: Ready(f"{number:.3f}"),
        "figure": lambda number: Ready(f"{number:.4g}"),
        "duration": lambda seconds: Ready(duration(seconds)),
        "setting": setting,
    }
    return template_environment(folder, filters, inline, html=False)  # `inline` escapes Markdown


def duration(seconds: float) -> str:
    """Format seconds as `45 s`, `12 min 30 s`, `3 h 20 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def setting(value: Any) -> Ready:
    """Format a setting as a table cell."""
    if isinstance(value, bool):
        return Ready("yes" if value else "no")
    if isinstance(value, float):
        return Ready(f"{value:g}")
    if isinstance(value, list | tuple):
        return inline(", ".join(map(str, value)))
    return inline(value)
