"""Suggest corrections for unknown options: the command's nearest option, or the setting of that name."""

from typing import Any

import click


class SetOption(click.Option):
    """The option --set. sections: sections of the recipe that the command accepts."""

    def __init__(self, *args: Any, sections: tuple[str, ...], **attributes: Any):
        super().__init__(*args, **attributes)
        self.sections = sections


def message(error: click.UsageError) -> str:
    """Return the line of a usage error; Click does not know about settings."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error.format_message()
    found = _nearest(error.option_name, error.ctx.command)
    hint = f"; did you mean {' or '.join(found)}?" if found else ""
    return f"there is no option {error.option_name}{hint}"


def _nearest(given: str, command: click.Command) -> list[str]:
    from ncfm_hub.recipes.files import SECTIONS, close  # imported late: --help must stay fast

    options = [param for param in command.params if isinstance(param, click.Option)]
    flags = [flag for option in options for flag in (*option.opts, *option.secondary_opts) if flag.startswith("--")]
    ways = {flag.removeprefix("--"): [flag] for flag in flags}
    for section in (name for option in options if isinstance(option, SetOption) for name in option.sections):
        for key in SECTIONS[section].model_fields:
            word = key.replace("_", "-")
            if f"--{word}" not in flags:  # otherwise there is an option for it
                ways.setdefault(word, []).append(f"--set {section}.{key}=VALUE")
    section, _, word = given.lstrip("-").replace("_", "-").rpartition(".")
    found = [way for name in ([word] if word in ways else close(word, ways)) for way in ways[name]]
    return [way for way in found if way.startswith(f"--set {section}.")] or found
