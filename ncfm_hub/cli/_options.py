"""Options shared by several commands, each declared once.

An option that overrides a setting is collected under its dotted key; commands read them all with `overrides()`. If two
override the same setting, the later one on the command line wins.
"""

import csv
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ncfm_hub.cli._commit_options import commit_group
from ncfm_hub.cli._completion import complete_folder, complete_source
from ncfm_hub.cli._output import FORMATS, Output
from ncfm_hub.cli._secrets import remember_secret
from ncfm_hub.cli._suggestions import SetOption
from ncfm_hub.errors import NcfmHubError
from ncfm_hub.utils.named import NONE
from ncfm_hub.utils.patience import speaking

if TYPE_CHECKING:
    from ncfm_hub.evaluation.opening import SubjectOptions
    from ncfm_hub.utils.commit_options import CommitOptions

Command = Callable[..., Any]
_OVERRIDES = "ncfm_hub.overrides"


def overrides() -> dict[str, Any]:
    """Return the settings given on the command line, by dotted key."""
    return dict(click.get_current_context().meta.get(_OVERRIDES, {}))


def refuse(instead: Mapping[str, str]) -> None:
    """Raise a usage error for a setting that the current command ignores. instead: the option to use, by key."""
    for key in overrides():
        if key in instead:
            raise click.UsageError(f"--set {key} has no effect here; use {instead[key]}")


def refuse_with_pool(pool: str | None) -> None:
    """Raise a usage error for training settings of the pool together with a trained pool."""
    for key in overrides():
        if pool is not None and key.startswith("pool.") and (pool != NONE or key == "pool.use"):
            raise click.UsageError(
                f"{key} has no effect with --pool {pool}{'' if pool == NONE else ', which is already trained'}; leave "
                "out one of the two"
            )


def subject_of(request: dict[str, Any]) -> "SubjectOptions":
    """Take how a distilled dataset is opened out of a command's arguments, and return it."""
    from ncfm_hub.evaluation.opening import SubjectOptions

    taken = {name: request.pop(name, None) for name in ("source", "preset", "pool", "revision", "token")}
    return SubjectOptions(**taken, overrides=overrides())


def _stack(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Combine several options into one decorator, in the order in which help shows them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _collect(ctx: click.Context, key: str, value: Any) -> None:
    ctx.meta.setdefault(_OVERRIDES, {})[key] = value


def _recipe(flag: str, key: str, **attributes: Any) -> Callable[[Command], Command]:
    """Declare an option that overrides the setting `key`."""

    def store(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            _collect(ctx, key, value)

    return click.option(flag, callback=store, expose_value=False, **attributes)


def _split_classes(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    try:
        (names,) = csv.reader([value], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError):
        names = [""]
    names = [name.strip() for name in names]
    if not names or not all(names):
        raise click.BadParameter(
            "expected comma-separated names or indices; quote a name that contains a comma, for example "
            "'cat,3,\"tench, Tinca tinca\"'"
        )
    _collect(ctx, "source.classes", names)  # a number is an index unless a class has that name


def _store_assignments(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:
    for text in values:
        from ncfm_hub.recipes.resolve import parse_assignment  # imported late: --help must stay fast

        try:
            _collect(ctx, *parse_assignment(text))
        except NcfmHubError as error:
            raise click.UsageError(str(error)) from error


def _guard_token(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not ctx.resilient_parsing:  # as when a shell asks how to complete the line
        remember_secret(value)
        click.echo("Warning: --token shows the token in the process list; prefer HF_TOKEN or `hf auth login`", err=True)
        _hand_over(value, ctx)
    return value


def _hand_over(token: str, ctx: click.Context) -> None:
    """Set the token in the environment while the command runs, for clients that accept none as an argument (timm's)."""
    before = os.environ.get("HF_TOKEN")
    os.environ["HF_TOKEN"] = token

    def take_back() -> None:
        del os.environ["HF_TOKEN"]
        if before is not None:
            os.environ["HF_TOKEN"] = before

    ctx.call_on_close(take_back)


def _list(flag: str, key: str, help: str) -> Callable[[Command], Command]:
    """Declare an option of comma-separated names that overrides a list setting."""

    def store(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            _collect(ctx, key, [name.strip() for name in value.split(",") if name.strip()])

    return click.option(flag, metavar="A,B,C", callback=store, expose_value=False, help=help)


def count(flag: str, default: int, help: str) -> Callable[[Command], Command]:
    """Declare an option for a positive integer."""
    return click.option(flag, type=click.IntRange(min=1), default=default, show_default=True, metavar="N", help=help)


def preset(default: str) -> Callable[[Command], Command]:
    """Declare the option --preset. default: description for help."""
    names = click.Choice(["gpu", "cpu", "paper"])
    return click.option("--preset", type=names, help=f"Preset to start from (default: {default}).")


def output_folder(default: str) -> Callable[[Command], Command]:
    """Declare the option --output of a command that writes to a folder. default: description for help."""
    return click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help=f"Output folder (default: {default}).",
    )


target_argument = click.argument("target", shell_complete=complete_folder)
targets_argument = click.argument(
    "targets", nargs=-1, required=True, metavar="TARGET...", shell_complete=complete_folder
)
dataset_option = click.option(
    "--dataset",
    required=True,
    metavar="NAME",
    shell_complete=complete_source,
    help="Source: pipeline, Hub ID, folder, .yaml file or recorded recipe.",
)
ipc_option = _recipe(
    "--ipc", "distillation.ipc", type=click.IntRange(min=1), metavar="N", help="Stored images per class (IPC)."
)
seed_option = _recipe(
    "--seed",
    "distillation.seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Random seed (default: 0, or the appended dataset's).",
)
preset_option = preset("chosen by device")
device_option = _recipe(
    "--device",
    "engine.device",
    type=click.STRING,
    metavar="auto|cpu|cuda|cuda:N",
    help="Device to compute on (default: a GPU if there is one).",
)
revision_option = click.option("--revision", metavar="REV", help="Branch, tag or commit on the Hub (default: main).")
students_option = _recipe(
    "--students",
    "evaluation.students",
    type=click.IntRange(min=0),
    metavar="N",
    help="Evaluation networks (students) per accuracy; 0: none.",
)
set_option = click.option(
    "--set",
    cls=SetOption,
    sections=("source", "pool", "distillation", "evaluation", "engine"),
    multiple=True,
    metavar="KEY=VALUE",
    callback=_store_assignments,
    expose_value=False,
    help="Override a setting, e.g. distillation.lr=0.01; repeatable.",
)
evaluation_set_option = click.option(
    "--set",
    cls=SetOption,
    sections=("evaluation", "engine"),
    multiple=True,
    metavar="KEY=VALUE",
    callback=_store_assignments,
    expose_value=False,
    help="Override a setting of evaluation and engine; repeatable.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Skip the confirmation prompt.")
token_option = click.option(
    "--token", metavar="TOKEN", callback=_guard_token, help="Hub token; prefer HF_TOKEN or `hf auth login`."
)
source_options = _stack(
    _recipe("--config", "source.config", metavar="NAME", help="Configuration (subset) of the source dataset."),
    _recipe("--revision", "source.revision", metavar="REV", help="Branch, tag or commit of the source dataset."),
    _recipe("--image-column", "source.image_column", metavar="NAME", help="Image column (default: detected)."),
    _recipe("--label-column", "source.label_column", metavar="NAME", help="Label column (default: detected)."),
    _recipe("--train-split", "source.train_split", metavar="NAME", help="Split to distill, e.g. train or train[:80%]."),
    _recipe("--test-split", "source.test_split", metavar="NAME", help="Split to test on, e.g. test or train[80%:]."),
    click.option(
        "--classes",
        metavar="A,B,C",
        callback=_split_classes,
        expose_value=False,
        help="Keep only these classes, by name or index.",
    ),
    _recipe(
        "--skip-damaged",
        "source.skip_damaged",
        is_flag=True,
        flag_value=True,
        default=None,
        help="Skip damaged images instead of stopping.",
    ),
    _recipe(
        "--resolution",
        "source.resolution",
        type=click.IntRange(min=1),
        metavar="PX",
        help="Side length of the images (default: the pipeline's).",
    ),
)
source_option = click.option(
    "--source",
    metavar="NAME",
    shell_complete=complete_source,
    help="Source dataset (default: the one the dataset names).",
)
subject_options = _stack(
    preset("the dataset's own settings"),
    source_option,
    revision_option,
    device_option,
    evaluation_set_option,
    token_option,
)
table_options = _stack(
    _list("--baselines", "evaluation.baselines", "Baselines: random, herding, k-center, el2n, start, dm, whole."),
    _list(
        "--architectures",
        "evaluation.architectures",
        "Also test on: alexnet, vgg11, resnet18, ConvNets or timm models.",
    ),
)
extractors_option = click.option(
    "--pool",
    metavar="REPO|DIR|none",
    shell_complete=complete_folder,
    help="Extractor pool; none: train one here (default: the dataset's own).",
)
pool_option = click.option(
    "--pool",
    metavar="REPO|DIR|none",
    shell_complete=complete_folder,
    help="Trained extractor pool; none: train one (default: find or train).",
)
pool_options = _stack(
    _recipe(
        "--backbone", "pool.backbone", metavar="NAME", help="timm model for the extractor pool (default: a ConvNet)."
    ),
    _recipe("--pretrained", "pool.pretrained", metavar="WEIGHTS", help="Pretrained weights, e.g. hf-hub:owner/name."),
)
distillation_options = _stack(
    _recipe(
        "--steps", "distillation.steps", type=click.IntRange(min=1), metavar="N", help="Number of distillation steps."
    ),
    _recipe(
        "--calibration",
        "distillation.calibration",
        type=click.FloatRange(min=0),
        metavar="W",
        help="Weight of the cross-entropy term; 0: matching only.",
    ),
    _recipe(
        "--sampling-network/--no-sampling-network",
        "distillation.sampling_network",
        default=None,
        help="Learn the frequency distribution, or keep it normal.",
    ),
)
name_option = click.option("--name", metavar="NAME", help="Configuration and directory (default: ipcN).")
default_option = click.option(
    "--default", metavar="NAME", help="Configuration to load where none is named (default: the first)."
)
replace_option = click.option("--replace", is_flag=True, help="Replace what has the same name.")
repo_id_option = click.option(
    "--repo-id", metavar="ID", help="Repository: name or owner/name (default: by pipeline name)."
)
private_option = click.option(
    "--private/--no-private", default=False, help="Make a new repository private (default: public)."
)


commit_options = commit_group("--branch", "--revision")
publish_options = _stack(
    click.option("--push", is_flag=True, help="Push the result to the Hub."),
    repo_id_option,
    private_option,
    replace_option,
    commit_group("--branch"),  # --revision is that of the source
    token_option,
)


def output_option(command: Command) -> Command:
    """Add --format and -q, and pass the command its `out`."""

    @click.option("--format", "format_", type=click.Choice(FORMATS), help="Output format (default: human).")
    @click.option("-q", "--quiet", is_flag=True, help="Same as --format quiet.")
    @functools.wraps(command)
    def with_output(*args: Any, format_: str | None, quiet: bool, **kwargs: Any) -> Any:
        if quiet and format_ not in (None, "quiet"):
            raise click.UsageError(f"--quiet and --format {format_} exclude each other")
        out = Output("quiet" if quiet else format_ or "human")  # type: ignore[arg-type]
        with speaking(out):
            return command(*args, out=out, **kwargs)

    return with_output


def check_publishing(push: bool, repo_id: str | None, commit: "CommitOptions", replace: bool = False) -> None:
    """Raise a usage error for options that are about the repository only, without a push."""
    given = ["--repo-id"] * (repo_id is not None) + ["--replace"] * replace + commit.words()
    if given and not push:
        raise click.UsageError(f"{given[0]} has no effect without --push")
