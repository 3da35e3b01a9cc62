"""What to say of an option that there is not: the nearest of the command's own, or the recipe's value of that name."""

from typing import Any

import click


class SetOption(click.Option):
    """--set; sections: of the recipe, whose values the command takes by it."""

    def __init__(self, *args: Any, sections: tuple[str, ...], **attributes: Any):
        super().__init__(*args, **attributes)
        self.sections = sections


def message(error: click.UsageError) -> str:
    """The line of a usage error; Click knows nothing of recipes."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error.format_message()
    found = _nearest(error.option_name, error.ctx.command)
    hint = f"; did you mean {' or '.join(found)}?" if found else ""
    return f"there is no option {error.option_name}{hint}"


def _nearest(given: str, command: click.Command) -> list[str]:
    from ncfm_hub.recipes.files import SECTIONS, close  # not before it is needed: --help must stay fast

    options = [param for param in command.params if isinstance(param, click.Option)]
    flags = [flag for option in options for flag in (*option.opts, *option.secondary_opts) if flag.startswith("--")]
    ways = {flag.removeprefix("--"): [flag] for flag in flags}
    for section in (name for option in options if isinstance(option, SetOption) for name in option.sections):
        for key in SECTIONS[section].model_fields:
            word = key.replace("_", "-")
            if f"--{word}" not in flags:  # else there is an option for it
                ways.setdefault(word, []).append(f"--set {section}.{key}=VALUE")
    section, _, word = given.lstrip("-").replace("_", "-").rpartition(".")
    found = [way for name in ([word] if word in ways else close(word, ways)) for way in ways[name]]
    return [way for way in found if way.startswith(f"--set {section}.")] or found
