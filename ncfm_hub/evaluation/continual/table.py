"""Format a class-incremental study as a Markdown table."""

from typing import Any


def table_lines(results: dict[str, Any]) -> list[str]:
    """Format the content of `continual.json` as lines: a row per step, then notes."""
    memories, differences, protocol = results["memories"], results["differences"], results["protocol"]
    heading = [
        "classes seen",
        *(memory["memory"] for memory in memories),
        "chance",
        *(f"{one['memory']} - {one['minus']}" for one in differences),
    ]
    rows = [
        [
            str(step["classes"]),
            *(_accuracy(memory["steps"][number]["accuracy"]) for memory in memories),
            f"{protocol['chance'][number]:.1f}",
            *(_difference(one["steps"][number]) for one in differences),
        ]
        for number, step in enumerate(memories[0]["steps"])
    ]
    average = [
        "average",
        *(_accuracy(memory["average_incremental"]) for memory in memories),
        f"{sum(protocol['chance']) / len(protocol['chance']):.1f}",
        *(_difference(one["average_incremental"]) for one in differences),
    ]
    return [*_markdown([heading, *rows, average]), "", *_legend(results)]


def _legend(results: dict[str, Any]) -> list[str]:
    protocol = results["protocol"]
    spread = (
        f": mean ± standard deviation over {protocol['orders']} orders of the classes" if protocol["orders"] > 1 else ""
    )
    lines = [f"{protocol['metric']}, {protocol['labels']} labels{spread}"]
    if results["differences"]:
        how = "± standard error (least to most)" if protocol["orders"] > 1 else "of the only order"
        lines.append(f"differences are paired by order: mean {how}")
    lines.append("average: average incremental accuracy, the mean over the steps")
    return [line[0].upper() + line[1:] for line in (*lines, *protocol["notes"])]


def _accuracy(figure: dict[str, Any]) -> str:
    deviation = f" ± {figure['std']:.1f}" if figure["std"] is not None else ""
    return f"{figure['mean']:.1f}{deviation}"


def _difference(figure: dict[str, Any]) -> str:
    if figure["standard_error"] is None:
        return f"{figure['mean']:+.1f}"
    least, most = min(figure["values"]), max(figure["values"])
    return f"{figure['mean']:+.1f} ± {figure['standard_error']:.1f} ({least:+.1f} to {most:+.1f})"


def _markdown(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
