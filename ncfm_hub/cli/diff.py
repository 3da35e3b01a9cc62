"""`ncfm-hub diff`."""

from collections.abc import Iterator
from typing import Any

import click

from ncfm_hub.cli import _options as options
from ncfm_hub.cli._completion import complete_folder
from ncfm_hub.cli._output import Output


@click.command(short_help="Compare two distilled datasets.")
@click.argument("a", shell_complete=complete_folder)
@click.argument("b", shell_complete=complete_folder)
@options.token_option
@options.output_option
def diff(out: Output, a: str, b: str, token: str | None) -> None:
    """Compare two distilled datasets.

    Prints what differs between A and B (folders or Hub repositories; owner/name/ipc10@REV for a branch, tag or commit):
    settings by key, classes, stored images, soft labels, and test accuracies with the standard error of their
    difference.

    \b
    Examples:
      ncfm-hub diff runs/seed0 runs/seed1
      ncfm-hub diff owner/cifar10-ncfm/ipc10@v1 owner/cifar10-ncfm/ipc10 --format json
    """
    from ncfm_hub.publishing.comparing.diff import diff as compare

    found = compare(a, b, token=token)
    out.result(found, list(_lines(found)))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield from (f"{row['key']}: {row['a']} -> {row['b']}" for row in found["recipe"])
    if not found["recipe"]:
        yield "settings: the same"
    yield f"classes: {_classes(found['classes'])}"
    yield f"stored images: {_apart(found['pixels'], 'levels of 255')}"
    yield f"soft labels: {_apart(found['labels'], 'in probability')}"
    for row in found["accuracy"]["rows"]:
        error = f" (standard error {row['standard_error']:.2f})" if row["standard_error"] is not None else ""
        yield (
            f"test acc. %, {row['set']}, {row['labels']} labels: {row['a']:.1f} -> {row['b']:.1f}, "
            f"difference {row['difference']:+.2f}{error}"
        )
    if not found["accuracy"]["rows"]:
        yield "test acc. %: no row in common"
    if changed := found["accuracy"]["protocol_differs"]:
        yield f"measured under other protocols: {', '.join(changed)}"


def _classes(found: dict[str, Any]) -> str:
    said = [f"only in {side.upper()}: {', '.join(found[f'only_{side}'])}" for side in "ab" if found[f"only_{side}"]]
    said += [] if found["same_order"] else ["in another order"]
    return "; ".join(said) or f"the same {found['a']}"


def _apart(found: dict[str, Any], unit: str) -> str:
    if not found["compared"]:
        return f"not comparable ({found['why']})"
    if not found["differing"]:
        return f"the same {found['compared']:,}"
    said = f"{found['differing']:,} of {found['compared']:,} differ, by {found['mean_absolute_difference']:.4g} {unit}"
    other = found.get("most_probable_class_differs")
    said += " on average"
    return said if other is None else f"{said}; the most probable class is another for {other:,}"
