"""`ncfm-hub pretrain`."""

from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._stopping import lasts


@click.command(short_help="Train the extractor pool that distillation uses.")
@options.dataset_option
@options.preset_option
@options.source_options
@options.pool_option
@options.pool_options
@options.device_option
@options.set_option
@options.output_folder("its entry in the cache")
@options.publish_options
@options.dry_run_option
@options.output_option
def pretrain(out: Output, dry_run: bool, **request: Any) -> None:
    """Train the extractor pool for a dataset.

    The pool holds pairs of initial and trained networks. It is kept in the cache, where `distill` finds it. One that
    was published with the same settings is pulled instead; --pool names any other, and --pool none trains one here.

    \b
    Examples:
      ncfm-hub pretrain --dataset cifar10 --preset cpu
      ncfm-hub pretrain --dataset cifar10 --output pools/cifar10 --push
      ncfm-hub pretrain --dataset imagenette --backbone resnet18 --pretrained hf-hub:timm/resnet18.a1_in1k
    """
    options.check_publishing(request["push"], request["repo_id"], request["commit"], request["replace"])
    options.refuse_with_pool(request["pool"])
    lasts("resume from the last checkpoint with")
    from ncfm_hub import api as run

    if dry_run:
        plan = run.plan_pool(**request, overrides=options.overrides())
        out.result(plan.as_dict(), plan.lines())
        return
    pool = run.pretrain(**request, overrides=options.overrides(), progress=out)
    data = reports.pool_data(pool)
    out.result(data, reports.pool_lines(data), quiet=str(pool.folder))
