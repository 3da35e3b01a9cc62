"""What a shell completes for values that Click's types do not know. Asks no Hub: TAB must not wait for a network."""

import click
from click.shell_completion import CompletionItem


def complete_pipeline(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the built-in pipelines that begin so."""
    from ncfm_hub.recipes.builtin import pipeline_names

    return [CompletionItem(name) for name in pipeline_names() if name.startswith(incomplete)]


def complete_source(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the built-in pipelines that begin so, and let the shell add files and folders.

    Files come first: Click's script for bash forgets what came before them.
    """
    return [CompletionItem(incomplete, type="file"), *complete_pipeline(ctx, parameter, incomplete)]


def complete_folder(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete folders."""
    return [CompletionItem(incomplete, type="dir")]
