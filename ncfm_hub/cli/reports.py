"""What commands tell of the library's results: plain data for scripts, lines and one table for people."""

from typing import TYPE_CHECKING, Any

from ncfm_hub.cli.output import Output, duration

if TYPE_CHECKING:
    from ncfm_hub.publishing import Pushed
    from ncfm_hub.run import PoolResult, Run

_SHORTER = (
    "--preset cpu, --steps N, --students N, --pool REPO|DIR, --set pool.size=N, --set pool.epochs=N, "
    "--set evaluation.updates=N"
)
_SETS = {
    "random": "random images",
    "start": "mixed-tile start",
    "distilled": "distilled",
    "whole": "whole dataset",
}
_HEADINGS = ("set", "labels", "images", "stored", "accuracy %", "on its own images %", "time")


def announce_cost(plan: dict[str, Any], out: Output, yes: bool) -> None:
    """Say so before anything starts if a run would take more than two hours, and ask where somebody can answer."""
    from ncfm_hub.planning import LONG_MINUTES

    minutes = plan["cost"].get("total_minutes")
    if minutes is None:
        out.note("How long this takes is not known: the source does not say how many images it has")
        return
    if minutes <= LONG_MINUTES:
        return
    out.warn(f"This takes about {duration(minutes * 60)} here. Shorter with {_SHORTER}")
    if not yes:
        out.confirm("Start?")


def run_data(run: "Run") -> dict[str, Any]:
    """A finished run as one JSON object."""
    return {
        "folder": str(run.folder),
        "preview": str(run.folder / "preview.png"),
        "repo": repo_data(run.pushed),
        "results": run.results,
    }


def run_lines(data: dict[str, Any]) -> list[str]:
    """A finished run for people, from `run_data`."""
    return [
        *accuracy_lines(data["results"]),
        "",
        f"folder         {data['folder']}",
        f"contact sheet  {data['preview']}",
        *([f"repository     {data['repo']['url']}"] if data["repo"] else []),
    ]


def pool_data(pool: "PoolResult") -> dict[str, Any]:
    """A trained pool as one JSON object."""
    return {
        "folder": str(pool.folder),
        "key": pool.key,
        "members": pool.members,
        "accuracy": pool.accuracy,
        "repo": repo_data(pool.pushed),
    }


def pool_lines(data: dict[str, Any]) -> list[str]:
    """A trained pool for people, from `pool_data`."""
    return [
        f"pool        {data['folder']}",
        f"members     {data['members']}",
        *([f"accuracy    {_by_beta(data['accuracy'])}"] if data["accuracy"] else []),
        *([f"repository  {data['repo']['url']}"] if data["repo"] else []),
    ]


def _by_beta(members: list[dict[str, float]]) -> str:
    """Mean accuracy of the members by the share of initial weights blended in."""
    means = {beta: sum(member[beta] for member in members) / len(members) for beta in members[0]}
    return ", ".join(f"{mean:.1f} % at beta {float(beta):g}" for beta, mean in means.items())


def repo_data(pushed: "Pushed | None") -> dict[str, Any] | None:
    """Where something was pushed to."""
    if pushed is None:
        return None
    return {"repo_id": pushed.repo_id, "url": pushed.url, "revision": pushed.revision}


def accuracy_lines(results: dict[str, Any]) -> list[str]:
    """The measured rows of a results.json as a table, and one line on what the numbers are."""
    rows = results.get("rows", [])
    if not rows:
        return ["nothing was measured (no students)"]
    table = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    metric = results.get("protocol", {}).get("metric")
    return [*lines, *([metric] if metric else [])]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    seconds = row.get("seconds")
    return (
        _SETS.get(row["set"], str(row["set"])),
        str(row.get("labels", "")),
        f"{row['images']:,}" if "images" in row else "",
        f"{row['stored_images']:,}" if row.get("stored_images") is not None else "",
        _accuracy(row.get("accuracy")),
        _accuracy(row.get("train_accuracy")),
        duration(seconds) if seconds is not None else "",
    )


def _accuracy(figure: dict[str, Any] | None) -> str:
    """`63.4 ± 0.3 (n=5)`; the deviation is left out where there is one student only."""
    if not figure:
        return ""
    deviation = f" ± {figure['std']:.1f}" if figure.get("std") is not None else ""
    return f"{figure['mean']:.1f}{deviation} (n={figure['n']})"
