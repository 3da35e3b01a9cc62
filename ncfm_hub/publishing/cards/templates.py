"""Render the card templates of `model_cards/`, escaping everything they print."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards.escaping import Ready, code, fenced, inline, literal
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.resources import data_folder

if TYPE_CHECKING:
    import jinja2


def render(template: str, context: dict[str, Any]) -> str:
    """Render `model_cards/<template>` with `context` as Markdown.

    A missing value is false in a condition and an error where it is printed.
    Raises DistilledError if the template, which users may edit, is invalid.
    """
    import jinja2

    try:
        return _environment(data_folder("model_cards")).get_template(template).render(context)
    except jinja2.TemplateError as error:
        raise DistilledError(f"model_cards/{template}: {error}") from error


@cache  # it holds the compiled templates; one that has changed is compiled anew
def _environment(folder: Path) -> "jinja2.Environment":
    import jinja2

    class Missing(jinja2.Undefined):
        __str__ = jinja2.Undefined._fail_with_undefined_error

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=False,  # for HTML only; `finalize` escapes Markdown
        finalize=inline,
        undefined=Missing,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
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
    return environment


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
