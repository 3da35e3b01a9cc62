"""`ncfm-hub distill`."""

from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._completion import complete_folder
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._replacing import replacing
from ncfm_hub.cli._stopping import lasts


@click.command(short_help="Distill a dataset, evaluate it and publish it.")
@options.dataset_option
@options.ipc_option
@options.preset("by device, or the appended dataset's")
@options.source_options
@options.pool_option
@click.option(
    "--append",
    metavar="REPO|DIR",
    shell_complete=complete_folder,
    help="Distilled dataset to add --classes to, in --output.",
)
@options.pool_options
@options.distillation_options
@options.students_option
@options.table_options
@options.seed_option
@options.device_option
@options.set_option
@options.output_folder("./PIPELINE-ncfm")
@options.name_option
@options.default_option
@click.option("--resume", is_flag=True, help="Resume from the last checkpoint of the same run.")
@click.option("--restart", is_flag=True, help="Rename the folder of an unfinished run and start over.")
@click.option("--validation", is_flag=True, help="Test on images held out from the training split.")
@options.publish_options
@click.option("--dry-run", is_flag=True, help="Print the plan and exit.")
@options.yes_option
@options.output_option
def distill(out: Output, dry_run: bool, yes: bool, resume: bool, restart: bool, **request: Any) -> None:
    """Distill a dataset to N images per class, evaluate the result and publish it.

    Writes a folder with images, soft labels, test accuracies and a dataset card that `datasets.load_dataset` reads.
    --push publishes it. With --append, the default output folder is ./PIPELINE-ncfm-M-classes.

    Without --pool the extractor pool comes from the cache, else from those published with the same settings by you or
    as the pipeline names them, else it is trained.

    A folder and its repository hold one directory and configuration per distilled dataset: another IPC or --name is
    added. In the folder the same name again renames what was there, in the repository it replaces it, after a
    question that -y answers; without a terminal, pass --replace.

    --dataset also takes the recipe of a finished dataset, on its source revision: a pipeline.yaml that a run wrote, or
    owner/name/ipc10@REV for that of a repository at a branch, tag or commit.

    \b
    Examples:
      ncfm-hub distill --dataset cifar100 --ipc 50 --push
      ncfm-hub distill --dataset cifar10 --ipc 10 --preset cpu --output runs/cifar10
      ncfm-hub distill --dataset owner/name --ipc 10 --label-column label --resolution 64 --dry-run
      ncfm-hub distill --dataset ./my-images --ipc 1 --classes cat,dog --set distillation.lr=0.02
      ncfm-hub distill --dataset cifar10 --ipc 10 --classes bird --pool me/cifar10-ncfm-pool --append me/pets --push
      ncfm-hub distill --dataset owner/cifar10-ncfm/ipc10@main --seed 1
    """
    options.check_publishing(request["push"], request["repo_id"], request["commit"])
    options.refuse_with_pool(request["pool"])
    if request["validation"] and "source.test_split" in options.overrides():
        raise click.UsageError(
            "--test-split has no effect with --validation, which reads no test split; give one of them"
        )
    if resume and restart:
        raise click.UsageError("--resume continues a run and --restart starts over; give one of them")
    lasts("resume from the last checkpoint with", "--resume")
    from ncfm_hub import api as run

    request["overrides"] = options.overrides()
    given = request.pop("replace")
    plan = replacing(lambda agreed: run.plan(**request, replace=agreed), out, replace=given, yes=yes or dry_run)
    if dry_run:
        out.result(plan.as_dict(), plan.lines())
        return
    reports.announce_cost(plan.as_dict(), out, yes)

    further = {"token": request["token"], "resume": resume, "restart": restart, "progress": out}
    finished = replacing(lambda agreed: run.carry_out(plan, **further, replace=agreed), out, replace=given, yes=yes)
    data = reports.run_data(finished)
    out.result(data, reports.run_lines(data), quiet=str(finished.folder))
