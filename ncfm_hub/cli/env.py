"""`ncfm-hub env`."""

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._output import Output


@click.command(short_help="Show versions, device and settings, for bug reports.")
@options.output_option
def env(out: Output) -> None:
    """Show what this installation has and sees: versions, device, compiler, Hub endpoint, cache. Never a token.

    \b
    Examples:
      ncfm-hub env
      ncfm-hub env --format json
    """
    from ncfm_hub.machine.environment import describe

    facts = describe()
    width = max(map(len, facts))
    out.result(facts, [f"{name:{width}}  {value}" for name, value in facts.items()])
