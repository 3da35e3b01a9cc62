"""What was measured on GPUs, as Markdown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTHING = "No GPU has been measured yet."
Found = dict[str, dict[str, Any]]  # of one card: part -> pieces


def page(results: Path) -> str:
    """Return the tables of every card that has a folder in `results`, or one line if none has."""
    cards = [card_lines(folder) for folder in sorted(results.glob("*")) if (folder / "summary.json").is_file()]
    return "\n\n".join("\n".join(lines) for lines in cards) or NOTHING


def card_lines(folder: Path) -> list[str]:
    summary = json.loads((folder / "summary.json").read_text())
    found = {
        part: json.loads(path.read_text())["pieces"]
        for part in ("oracle", "step", "rate", "cell")
        if (path := folder / f"{part}.json").is_file()
    }
    machine = summary["machine"]
    lines = [f"**{machine['description']}**, {machine['precision']}, torch {machine['torch']}"]
    for table in (oracle_lines, step_lines, rate_lines, cell_lines):
        if rows := list(table(found)):
            lines += ["", *rows]
    missing = [f"{name} ({why})" for some in ("skipped", "failed") for name, why in summary[some].items()]
    return [*lines, "", f"Not measured: {'; '.join(missing)}."] if missing else lines


def oracle_lines(found: Found) -> Iterator[str]:
    for number, (name, one) in enumerate(found.get("oracle", {}).items()):
        if not number:
            yield "| against the float64 oracle | error of the loss | cosine of the gradient | psi's | holds |"
            yield "|---|---|---|---|---|"
        cosines = [f"{one['gradient_cosine'][which]:.7f}" for which in ("pixels", "frequencies")]
        yield f"| {name} | {one['loss_error']:+.1e} | {' | '.join(cosines)} | {'yes' if one['holds'] else 'no'} |"


def step_lines(found: Found) -> Iterator[str]:
    for number, (name, one) in enumerate(found.get("step", {}).items()):
        if not number:
            yield "| reference work | ms a step | without a CUDA graph | host | draws | peak GB |"
            yield "|---|---|---|---|---|---|"
        times = [f"{one[key]:.1f}" for key in ("step_ms", "launched_ms", "host_ms", "draws_ms")]
        yield f"| {name} | {' | '.join(times)} | {one.get('peak_gb', '')} |"


def rate_lines(found: Found) -> Iterator[str]:
    rates = dict(found.get("rate", {}))
    projected = rates.pop("projection", None)
    if rates:
        yield "| ConvNet-3 | at once | images/s | with compilation | peak GB |"
        yield "|---|---|---|---|---|"
    for name, one in rates.items():
        speeds = f"{one['images_per_second']:,} | {one['with_compilation']:,}"
        yield f"| {name} | {one['at_once']} | {speeds} | {one.get('peak_gb', '')} |"
    if projected:
        minutes = dict(projected["minutes"])
        whole = minutes.pop("all")
        parts = ", ".join(f"{name} {value:.1f}" for name, value in minutes.items())
        yield ""
        yield f"Projected, preset `paper`, CIFAR-10 IPC 10, ten students a row: {whole:.1f} minutes ({parts})."


def cell_lines(found: Found) -> Iterator[str]:
    cells = found.get("cell", {})
    students = cells.get("students")
    if students is None:
        return
    preset = next(iter(cells.values()))["preset"]
    yield f"| CIFAR-10, preset `{preset}` | labels | top-1 % (mean ± std) | students | pool, s | distillation, s |"
    yield "|---|---|---|---|---|---|"
    for row in students["rows"]:
        of, spread = row["accuracy"], row["accuracy"]["std"]
        accuracy = f"{of['mean']:.1f}" + (f" ± {spread:.1f}" if spread is not None else "")
        cell = cells[row["cell"]]
        seconds = f"{cell['pool']['seconds']} | {cell['distillation_seconds']}"
        yield f"| {row['cell']} | {row['labels']} | {accuracy} | {of['n']} | {seconds} |"
    yield ""
    yield f"Students of all cells: {students['seconds']:.0f} s, {students['at_once']} at once."
