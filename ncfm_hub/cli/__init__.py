"""The command line: each command is a thin skin over one call of the library.

Only Click is imported here and in the commands' modules; everything heavy is imported when a command runs.
"""

import click

from ncfm_hub._version import __version__
from ncfm_hub.cli._errors import SafeGroup
from ncfm_hub.cli.continual import continual
from ncfm_hub.cli.distill import distill
from ncfm_hub.cli.env import env
from ncfm_hub.cli.evaluate import evaluate
from ncfm_hub.cli.export import export
from ncfm_hub.cli.import_ import import_
from ncfm_hub.cli.localhub import localhub
from ncfm_hub.cli.nas import nas
from ncfm_hub.cli.pipelines import pipelines
from ncfm_hub.cli.pretrain import pretrain
from ncfm_hub.cli.preview import preview
from ncfm_hub.cli.push import push
from ncfm_hub.cli.report import report


@click.group(cls=SafeGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ncfm-hub")
def main() -> None:
    """Distill a dataset of the Hugging Face Hub to a few images per class, and publish the result.

    \b
    Examples:
      ncfm-hub distill --dataset cifar100 --ipc 50 --push
      ncfm-hub distill --dataset owner/name --ipc 10 --dry-run
      ncfm-hub pipelines list
    """


for _command in (
    distill,
    pretrain,
    evaluate,
    continual,
    nas,
    push,
    preview,
    report,
    export,
    import_,
    pipelines,
    localhub,
    env,
):
    main.add_command(_command)
