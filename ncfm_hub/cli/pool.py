"""`ncfm-hub pool`: share extractor pools."""

from typing import TYPE_CHECKING, Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli import _reports as reports
from ncfm_hub.cli._output import Output
from ncfm_hub.cli._replacing import replacing
from ncfm_hub.cli._stopping import lasts

if TYPE_CHECKING:
    from ncfm_hub.publishing.pools.description import PoolDescription


@click.group(short_help="Push, pull, list and show extractor pools.")
def pool() -> None:
    """Push, pull, list and show extractor pools.

    A pool holds the pairs of initial and trained networks that a dataset is distilled with.

    \b
    Examples:
      ncfm-hub pool push cifar10
      ncfm-hub pool pull owner/cifar10-ncfm-pool
      ncfm-hub pool list --hub
    """


@pool.command("push", short_help="Push an extractor pool to the Hub.")
@click.argument("target")
@options.repo_id_option
@options.preset_option
@options.set_option
@options.private_option
@options.replace_option
@options.commit_options
@options.dry_run_option
@options.yes_option
@options.token_option
@options.output_option
def _push(out: Output, target: str, yes: bool, replace: bool, dry_run: bool, **request: Any) -> None:
    """Push an extractor pool to the Hub, as a model repository that timm loads.

    TARGET is a folder, the key of a pool in the cache or its beginning, or what the pool was trained for: a pipeline
    name, Hub ID, local folder or .yaml file, with the --preset and --set of that training. The default repository is
    <user>/<pipeline>-ncfm-pool, where `distill` looks for it.

    \b
    Examples:
      ncfm-hub pool push cifar10 --preset cpu
      ncfm-hub pool push 0f3a9c --repo-id owner/pool --private
    """
    lasts("push it again with")
    from ncfm_hub import api as run

    request["overrides"] = options.overrides()
    made = replacing(
        lambda agreed: run.push_pool(target, **request, dry_run=dry_run, replace=agreed, progress=out),
        out,
        replace=replace,
        yes=yes or dry_run,
    )
    out.result(reports.push_data(made), reports.push_lines(made), quiet=made.repo_id)


@pool.command("pull", short_help="Pull an extractor pool into the cache.")
@click.argument("repository", metavar="OWNER/NAME[@REV]")
@options.token_option
@options.output_option
def _pull(out: Output, repository: str, token: str | None) -> None:
    """Pull an extractor pool from the Hub into the cache, whole and checked.

    Runs whose settings have the pool's key then use it instead of training one; any other run uses it with
    --pool OWNER/NAME.

    \b
    Example:
      ncfm-hub pool pull owner/cifar10-ncfm-pool@v1
    """
    lasts("pull it again with")
    from ncfm_hub import pull_pool
    from ncfm_hub.publishing.pools.description import describe_pool_folder

    folder = pull_pool(repository, token=token).folder
    assert folder is not None
    _show(describe_pool_folder(folder, read=False), out)


@pool.command("list")
@click.option("--hub", is_flag=True, help="Also list the pools that you have published.")
@options.token_option
@options.output_option
def _list(out: Output, hub: bool, token: str | None) -> None:
    """List the extractor pools in the cache.

    \b
    Examples:
      ncfm-hub pool list
      ncfm-hub pool list --hub --format json
    """
    from ncfm_hub import list_pools

    rows = [reports.described_pool_data(found) for found in list_pools(hub=hub, token=token, progress=out)]
    out.result(rows, reports.described_pools_lines(rows), quiet="\n".join(row["place"] for row in rows))


@pool.command("show")
@click.argument("target", metavar="TARGET")
@options.token_option
@options.output_option
def _show_one(out: Output, target: str, token: str | None) -> None:
    """Show what is known of an extractor pool.

    That is its architecture, classes, accuracy by beta, key, digest, size and origin. TARGET is a folder, the key of a
    pool in the cache or its beginning, or a repository OWNER/NAME[@REV], of which only pool.json is downloaded.

    \b
    Examples:
      ncfm-hub pool show 0f3a9c
      ncfm-hub pool show owner/cifar10-ncfm-pool --format json
    """
    from ncfm_hub import show_pool

    _show(show_pool(target, token=token), out)


def _show(found: "PoolDescription", out: Output) -> None:
    data = reports.described_pool_data(found)
    out.result(data, reports.described_pool_lines(data), quiet=data["place"])
