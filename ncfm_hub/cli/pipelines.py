"""`ncfm-hub pipelines`: list, show and copy the built-in pipelines."""

from pathlib import Path

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._completion import complete_pipeline
from ncfm_hub.cli._output import Output


@click.group(short_help="List, show and copy the built-in pipelines.")
def pipelines() -> None:
    """List, show and copy the built-in pipelines, which --dataset takes by name.

    \b
    Examples:
      ncfm-hub pipelines list
      ncfm-hub pipelines show cifar10 --preset cpu
      ncfm-hub pipelines copy cifar10 mine.yaml
    """


@pipelines.command("list")
@options.output_option
def list_(out: Output) -> None:
    """List the built-in pipelines.

    \b
    Example:
      ncfm-hub pipelines list --format json
    """
    from ncfm_hub.recipes.builtin import pipeline_names
    from ncfm_hub.recipes.resolve import pipeline_description

    rows = [{"name": name, "description": pipeline_description(name)} for name in pipeline_names()]
    width = max(len(row["name"]) for row in rows)
    lines = [f"{row['name']:{width}}  {row['description']}".rstrip() for row in rows]
    out.result(rows, lines, quiet="\n".join(row["name"] for row in rows))


@pipelines.command()
@click.argument("name", shell_complete=complete_pipeline)
@options.preset_option
@options.set_option
@options.output_option
def show(out: Output, name: str, preset: str | None) -> None:
    """Show all settings of a pipeline as YAML.

    \b
    Examples:
      ncfm-hub pipelines show cifar10
      ncfm-hub pipelines show cifar10 --preset paper --set pool.size=5
    """
    import yaml

    from ncfm_hub.recipes.resolve import resolve

    resolved = resolve(name, preset, options.overrides())
    recipe = resolved.recipe.model_dump()
    heading = [f"# {resolved.name}, preset {resolved.preset}, from", *(f"#   {path}" for path in resolved.described_by)]
    out.result(
        {"name": resolved.name, "preset": resolved.preset, "from": list(resolved.described_by), "recipe": recipe},
        [*heading, yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip()],
        quiet=resolved.name,
    )


@pipelines.command()
@click.argument("name", shell_complete=complete_pipeline)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@options.dry_run_option
@options.output_option
def copy(out: Output, name: str, file: Path, force: bool, dry_run: bool) -> None:
    """Copy a pipeline to FILE, to edit and pass to --dataset.

    \b
    Example:
      ncfm-hub pipelines copy cifar10 mine.yaml
    """
    from ncfm_hub.errors import PipelineError
    from ncfm_hub.recipes.resolve import pipeline_path
    from ncfm_hub.utils.files import write_text

    text = pipeline_path(name).read_text(encoding="utf-8")
    if file.exists() and not force:
        raise PipelineError(f"{file} exists; overwrite it with --force")
    if file.suffix not in (".yaml", ".yml"):
        raise click.UsageError(f"{file} must end in .yaml, or --dataset does not take it for a pipeline")
    if not dry_run:
        write_text(file, text)
        out.note(f"edit it, then: ncfm-hub distill --dataset {file} --ipc 10")
    out.result({"name": name, "file": str(file)}, [str(file)], quiet=str(file))
    out.rehearsed(dry_run)
