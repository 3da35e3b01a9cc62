"""`ncfm-hub env`."""

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._output import Output


@click.command(short_help="Show versions, device and cache, for bug reports.")
@options.output_option
def env(out: Output) -> None:
    """Show versions, device, compiler, Hub endpoint and cache, for bug reports.

    Tokens are never shown.

    \b
    Examples:
      ncfm-hub env
      ncfm-hub env --format json
    """
    from ncfm_hub.machine.environment import environment_facts

    facts = environment_facts()
    width = max(map(len, facts))
    out.result(facts, [f"{name:{width}}  {value}" for name, value in facts.items()])
