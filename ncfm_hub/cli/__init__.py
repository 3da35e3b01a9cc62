"""The command line: each command is a thin skin over one call of the library.

Only Click is imported here and in the commands' modules; everything heavy is imported when a command runs.
"""

import click

from ncfm_hub._version import __version__
from ncfm_hub.cli._errors import SafeGroup
from ncfm_hub.cli.continual import continual
from ncfm_hub.cli.diff import diff
from ncfm_hub.cli.distill import distill
from ncfm_hub.cli.env import env
from ncfm_hub.cli.evaluate import evaluate
from ncfm_hub.cli.export import export
from ncfm_hub.cli.import_ import import_
from ncfm_hub.cli.localhub import localhub
from ncfm_hub.cli.nas import nas
from ncfm_hub.cli.pipelines import pipelines
from ncfm_hub.cli.pool import pool
from ncfm_hub.cli.pretrain import pretrain
from ncfm_hub.cli.preview import preview
from ncfm_hub.cli.push import push
from ncfm_hub.cli.report import report
from ncfm_hub.cli.reproduce import reproduce
from ncfm_hub.cli.verify import verify

GROUPS = {
    "Make": (distill, pretrain, import_),
    "Measure": (evaluate, diff, continual, nas, report, preview),
    "Share": (push, pool, verify, reproduce, export, localhub),
    "Tools": (pipelines, env),
}


class GroupedCommands(SafeGroup):
    """The root command, whose help lists the commands under the headings of `GROUPS`."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for heading, commands in GROUPS.items():
            rows = [(str(command.name).ljust(width), command.get_short_help_str(limit=80)) for command in commands]
            with formatter.section(heading):
                formatter.write_dl(rows)


@click.group(cls=GroupedCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ncfm-hub")
def main() -> None:
    """Distill image datasets to a few images per class and publish them on the Hub.

    \b
    Examples:
      ncfm-hub distill --dataset cifar100 --ipc 50 --push
      ncfm-hub distill --dataset owner/name --ipc 10 --dry-run
      ncfm-hub pipelines list
    """


for _command in (command for commands in GROUPS.values() for command in commands):
    main.add_command(_command)
