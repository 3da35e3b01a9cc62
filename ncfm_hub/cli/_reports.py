"""Format results of commands: plain data for scripts, lines and tables for people."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.cli._output import Output, rough_duration
from ncfm_hub.utils.counting import byte_count

if TYPE_CHECKING:
    from ncfm_hub.api import PoolResult, Run
    from ncfm_hub.evaluation.planned import PlannedMeasurement
    from ncfm_hub.publishing import Pushed
    from ncfm_hub.publishing.pools.description import PoolDescription
    from ncfm_hub.publishing.verifying.result import Check

_SHORTER = (
    "--preset cpu, --steps N, --students N, --pool REPO|DIR, --set pool.size=N, --set pool.epochs=N, "
    "--set evaluation.updates=N"
)
_NAMES_SHOWN = 10
_LONGEST = 1000  # characters of a value, which may be a path or quote files of others
_POOL_HEADINGS = ("pool", "source", "networks", "classes", "size", "origin")
_HEADINGS = ("trained on", "labels", "images", "stored", "test acc. %", "train acc. %", "time")


def announce_cost(plan: dict[str, Any], out: Output, yes: bool, shorter: str = _SHORTER) -> None:
    """Warn before a run of more than two hours, and ask for confirmation if there is a terminal.

    shorter: the options that shorten it
    """
    from ncfm_hub.planning.announcing import LONG_MINUTES

    minutes = plan["cost"].get("total_minutes")
    if minutes is None:
        out.note(f"The run time is unknown: {plan['no_cost']}")
        return
    if minutes <= LONG_MINUTES:
        return
    out.warn(f"This takes about {rough_duration(minutes * 60)} on this machine. To shorten it: {shorter}")
    if not yes:
        out.confirm("Start?")


def check_lines(checks: "Sequence[Check]") -> list[str]:
    """Format one line per check of a dataset."""
    width = max(len(one.name) for one in checks)
    named = max(len(one.dataset or "") for one in checks)
    return [f"{one.outcome:11}  {one.dataset or '':{named}}  {one.name:{width}}  {one.found}" for one in checks]


def planned(plans: Sequence["PlannedMeasurement"], out: Output) -> None:
    """Print what a measurement would train and write: the result of its `--dry-run`."""
    from ncfm_hub.evaluation.planned import lines_of

    out.result([plan.as_dict() for plan in plans], lines_of(plans))
    out.rehearsed(True)


def run_data(run: "Run") -> dict[str, Any]:
    """Return a finished run as a JSON object."""
    return {
        "folder": str(run.folder),
        "name": run.name,
        "preview": str(run.set_folder / "preview.png"),
        "repo": repo_data(run.pushed),
        "results": run.results,
    }


def run_lines(data: dict[str, Any]) -> list[str]:
    """Format the result of `run_data` for people."""
    return [
        *accuracy_lines(data["results"]),
        "",
        f"folder         {data['folder']}",
        f"configuration  {data['name']}",
        f"contact sheet  {data['preview']}",
        *([f"repository     {_pushed_to(data['repo'])}"] if data["repo"] else []),
    ]


def pool_data(pool: "PoolResult") -> dict[str, Any]:
    """Return a trained pool as a JSON object."""
    return {
        "folder": str(pool.folder),
        "key": pool.key,
        "members": pool.members,
        "accuracy": pool.accuracy,
        "repo": repo_data(pool.pushed),
    }


def pool_lines(data: dict[str, Any]) -> list[str]:
    """Format the result of `pool_data` for people."""
    return [
        f"pool        {data['folder']}",
        f"members     {data['members']}",
        *([f"accuracy    {_by_beta(data['accuracy'])}"] if data["accuracy"] else []),
        *([f"repository  {_pushed_to(data['repo'])}"] if data["repo"] else []),
    ]


def _by_beta(members: list[dict[str, float]]) -> str:
    """Format the members' mean accuracy by beta, the weight of the initial network in the blend."""
    means = {beta: sum(member[beta] for member in members) / len(members) for beta in members[0]}
    return ", ".join(f"{mean:.1f} % at beta {float(beta):g}" for beta, mean in means.items())


def described_pool_data(pool: "PoolDescription") -> dict[str, Any]:
    """Return a described pool as a JSON object."""
    return {**asdict(pool), "mean_accuracy": pool.by_beta()}


def described_pool_lines(data: dict[str, Any]) -> list[str]:
    """Format the result of `described_pool_data` for people."""
    from ncfm_hub.publishing.cards.escaping import plain

    names = data["class_names"]
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    means = ", ".join(f"{mean:.1f} % at beta {float(beta):g}" for beta, mean in data["mean_accuracy"].items())
    image = f"{data['channels']} x {data['resolution']} x {data['resolution']} px"
    lines = {
        "pool": data["place"],
        "origin": data["origin"],
        "source": data["source"] or "unknown",
        "networks": f"{data['members']} x {data['architecture']}, {image}",
        "weights": data["pretrained"] or "from scratch",
        "classes": f"{len(names)}: {shown}",
        "accuracy": means or "not measured",
        "key": data["key"],
        "digest": data["digest"] or "not stated",
        "size": byte_count(data["size"]),
    }
    return [f"{name:8}  {plain(value, _LONGEST)}" for name, value in lines.items()]


def described_pools_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Format a list of described pools as a table."""
    from ncfm_hub.publishing.cards.escaping import plain

    if not rows:
        return ["no extractor pools"]
    cells = [
        (
            row["place"] if row["place"] == row["origin"] else Path(row["place"]).name,
            row["source"] or "unknown",
            f"{row['members']} x {row['architecture']}",
            str(len(row["class_names"])),
            byte_count(row["size"]),
            row["origin"],
        )
        for row in rows
    ]
    return _aligned([_POOL_HEADINGS, *(tuple(plain(cell, _LONGEST) for cell in line) for line in cells)])


def _pushed_to(repo: dict[str, Any]) -> str:
    return str(repo["pull_request"] or repo["url"])


def repo_data(pushed: "Pushed | None") -> dict[str, Any] | None:
    """Return where something was pushed, as a JSON object."""
    if pushed is None:
        return None
    return {name: getattr(pushed, name) for name in ("repo_id", "url", "revision", "branch", "tag", "pull_request")}


def push_data(pushed: "Pushed") -> dict[str, Any]:
    """Return what was pushed, or would be, as a JSON object."""
    return {**(repo_data(pushed) or {}), "changes": pushed.changes.as_dict()}


def push_lines(pushed: "Pushed") -> list[str]:
    """Format a push for people; after a dry run with all files."""
    facts = {
        "pushed to" if pushed.revision else "push to": pushed.url,
        "revision": pushed.revision,
        "branch": pushed.branch,
        "tag": pushed.tag,
        "proposed in": pushed.pull_request,
    }
    lines = [f"{name:11}  {value}" for name, value in facts.items() if value]
    return lines if pushed.revision else [*lines, *pushed.changes.lines(), str(pushed.changes)]


def result_lines(results: dict[str, Any]) -> list[str]:
    """Format the result of `evaluate` for people: one dataset, or several one after another."""
    if "targets" not in results:
        return accuracy_lines(results)
    lines: list[str] = []
    for result in results["targets"]:
        lines += [*([""] if lines else []), f"{result['target']}:", *accuracy_lines(result)]
    return [*lines, "", *_side_by_side(results["targets"])]


def accuracy_lines(results: dict[str, Any]) -> list[str]:
    """Format the rows of a results.json as a table, with a line on the protocol and further results."""
    rows = results.get("rows", [])
    if not rows:
        return ["no accuracies: evaluated with 0 evaluation networks (--students)"]
    lines = _aligned([_HEADINGS, *(_cells(row) for row in rows)])
    metric = results.get("protocol", {}).get("metric")
    return [
        *lines,
        *([metric] if metric else []),
        *_by_architecture(results.get("cross_architecture", [])),
        *_ranking_lines(results.get("ranking", {})),
    ]


def _aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


def _side_by_side(results: list[dict[str, Any]]) -> list[str]:
    """Format one row per dataset of the command line, best accuracy with hard labels first."""
    found = [
        (result["target"], row) for result in results for row in result.get("rows", []) if row["set"] == "distilled"
    ]
    ordered = sorted(found, key=lambda pair: (pair[1]["labels"], -pair[1]["accuracy"]["mean"]))
    cells = [
        (str(name), row["labels"], f"{row['stored_images']:,}", _accuracy(row["accuracy"])) for name, row in ordered
    ]
    return _aligned([("distilled dataset", "labels", "stored", "test acc. %"), *cells]) if cells else []


def _by_architecture(rows: list[dict[str, Any]]) -> list[str]:
    """Format one row per training set and one column per architecture."""
    if not rows:
        return []
    from ncfm_hub.publishing.cards.statements import NAMES, by_architecture

    found = by_architecture(rows)
    body = [
        (NAMES.get(line["set"], line["set"]), line["labels"], *(_accuracy(figure) for figure in line["figures"]))
        for line in found["lines"]
    ]
    return ["", *_aligned([("trained on", "labels", *found["students"]), *body])]


def _ranking_lines(ranking: dict[str, Any]) -> list[str]:
    """Format the DD-Ranking metrics, as fractions."""
    if not ranking:
        return []
    from ncfm_hub.publishing.cards.statements import RANKING

    cells = [
        (name, f"{figure['mean']:.3f}" + (f" ± {figure['std']:.3f}" if figure["std"] is not None else ""), meaning)
        for name, meaning in RANKING.items()
        if (figure := ranking.get(name))
    ]
    note = "HLR and LRS: the full training set gets as many updates as the rest, fewer than on DD-Ranking's leaderboard"
    return ["", *_aligned(cells), note]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    from ncfm_hub.publishing.cards.statements import NAMES

    seconds = row.get("seconds")
    return (
        NAMES.get(row["set"], str(row["set"])),
        str(row.get("labels", "")),
        f"{row['images']:,}" if "images" in row else "",
        f"{row['stored_images']:,}" if row.get("stored_images") is not None else "",
        _accuracy(row.get("accuracy")),
        _accuracy(row.get("train_accuracy")),
        rough_duration(seconds) if seconds is not None else "",
    )


def _accuracy(figure: dict[str, Any] | None) -> str:
    """Format as `63.4 ± 0.3 (n=5)`; without the deviation for a single student (evaluation network)."""
    if not figure:
        return ""
    deviation = f" ± {figure['std']:.1f}" if figure.get("std") is not None else ""
    return f"{figure['mean']:.1f}{deviation} (n={figure['n']})"
