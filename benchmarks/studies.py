"""The studies of a distilled set in docs/results.md: each runs one command of ncfm-hub and keeps every number.

    python benchmarks/studies.py table --set path/to/cifar10-ncfm-ipc10
    python benchmarks/studies.py architectures --set path/to/cifar10-ncfm-ipc10
    python benchmarks/studies.py continual --set path/to/cifar10-ncfm-ipc10
    python benchmarks/studies.py nas --set path/to/cifar10-ncfm-ipc10
    python benchmarks/studies.py table --page          # only put what was measured before into the page

The set is what `benchmarks/main_job.py --output` keeps: CIFAR-10 at 10 images per class by the preset `cpu`. Students
that are done are in the cache, so that the same command goes on after an interruption. Results lie in
benchmarks/results/cifar10-ipc10/.
"""

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEPT = HERE / "results" / "cifar10-ipc10"
PAGE, PLOTS = "docs/results.md", HERE.parent / "docs"
SET = "cifar10-ncfm-ipc10"  # what the set is called in the page's commands
COMMANDS: dict[str, list[str]] = {
    "table": [
        *("evaluate", SET, "--baselines", "random,herding,k-center,el2n,start,dm,whole", "--ranking", "--students", "5")
    ],
    "architectures": [
        *("evaluate", SET, "--baselines", "random", "--architectures", "alexnet,vgg11,resnet18"),
        *("--students", "2", "--set", "evaluation.soft_labels=false"),
        *("--set", "evaluation.updates=200", "--set", "evaluation.lr=0.001"),
    ],
    "continual": ["continual", SET, "--steps", "5", "--orders", "5", "--set", "evaluation.updates=200"],
    # Seed 32 for its cost alone: of the samples of seeds 0 to 99 it has the fewest operations. Compiling takes longer
    # than it saves in so few updates.
    "nas": [
        *("nas", SET, "--sample", "20", "--seed", "32", "--proxy-updates", "60", "--whole-updates", "200"),
        *("--set", "engine.compile=off"),
    ],
}
PLOTTED = ("continual", "nas")


def run(study: str, folder: Path) -> dict[str, Any]:
    """Run a study's command on a set; what it printed as JSON, its plot copied beside the page."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(folder) if word == SET else word for word in COMMANDS[study]]
        command += ["--output", scratch] if study in PLOTTED else []
        done = subprocess.run(
            [sys.executable, "-m", "ncfm_hub", *command, "--format", "json"], check=True, stdout=subprocess.PIPE
        )
        if study in PLOTTED:
            shutil.copyfile(Path(scratch) / f"{study}.png", PLOTS / f"{study}.png")
    printed: dict[str, Any] = json.loads(done.stdout)
    # Places on this machine are nobody's business.
    return {key: value for key, value in printed.items() if key not in ("folder", "plot", "target", "source")}


def keep(study: str, results: dict[str, Any]) -> None:
    """Write what was measured, with the command, the date and the machine."""
    from ncfm_hub._version import __version__
    from ncfm_hub.machine.engine import open_engine

    described = {
        "command": shown(study),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "ncfm_hub": __version__,
        "machine": open_engine().describe(),
        "results": results,
    }
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{study}.json").write_text(json.dumps(described, indent=1) + "\n")


def shown(study: str) -> str:
    return " ".join(["ncfm-hub", *COMMANDS[study]])


def markdown(head: list[str], body: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body)]


def figure(accuracy: dict[str, Any] | None) -> str:
    if not accuracy:
        return ""
    return f"{accuracy['mean']:.1f}" + (f" ± {accuracy['std']:.1f}" if accuracy["std"] is not None else "")


def said_of(protocol: dict[str, Any]) -> str:
    return (
        f"Top-1 % at the last epoch on the split `{protocol['split']}` ({protocol['test_images']:,} images), mean ± "
        f"standard deviation over {protocol['students']} evaluation networks (students) of one distillation, "
        f"{protocol['updates']} updates of {protocol['batch_size']} images for every row."
    )


def table(results: dict[str, Any]) -> list[str]:
    """The set beside its baselines, and DD-Ranking's figures."""
    from ncfm_hub.publishing.cards.statements import RANKING, SETS

    rows = [
        [
            str(SETS[row["set"]]),
            row["labels"],
            f"{row['stored_images']:,}",
            f"{row['images']:,}",
            figure(row["accuracy"]),
            figure(row["train_accuracy"]),
        ]
        for row in results["rows"]
    ]
    ranking = results["ranking"]
    figures = [
        [name, meaning, f"{ranking[name]['mean']:.3f} ± {ranking[name]['std']:.3f}"]
        for name, meaning in RANKING.items()
    ]
    plain = [[str(SETS[row["set"]]), row["labels"], figure(row["accuracy"])] for row in ranking["without_augmentation"]]
    return [
        *markdown(["trained on", "labels", "stored", "images", "test acc. %", "train acc. %"], rows),
        "",
        said_of(results["protocol"]),
        "",
        *markdown(["without augmentation", "labels", "test acc. %"], plain),
        "",
        *markdown(["metric", "meaning", "mean ± std"], figures),
        "",
        f"As fractions; IOR and ARS with {ranking['labels']} labels on both sides.",
    ]


def architectures(results: dict[str, Any]) -> list[str]:
    """A line for every set, a column for every student."""
    from ncfm_hub.publishing.cards.statements import SETS, by_architecture

    found = by_architecture(results["cross_architecture"])
    body = [[str(SETS[line["set"]]), line["labels"], *map(figure, line["figures"])] for line in found["lines"]]
    head = ["trained on", "labels", *(one.removeprefix("ncfm_") for one in found["students"])]
    return [*markdown(head, body), "", said_of(results["protocol"])]


def continual(results: dict[str, Any]) -> list[str]:
    from ncfm_hub.evaluation.continual.table import table_lines

    lines = [line if line.startswith("|") or not line else f"- {line}" for line in table_lines(results["results"])]
    return [*lines, "", "![Accuracy after every step](continual.png)"]


def nas(results: dict[str, Any]) -> list[str]:
    from ncfm_hub.evaluation.search.report import agreement_lines, architecture_lines

    lines = [*agreement_lines(results), "", *architecture_lines(results)]
    return [*lines, "", "![Accuracy on the proxy and on the full training set](nas.png)"]


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "table": table,
    "architectures": architectures,
    "continual": continual,
    "nas": nas,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=COMMANDS)
    parser.add_argument("--set", type=Path, dest="folder", help="folder of the distilled set")
    parser.add_argument("--page", action="store_true", help="put what was measured into docs/results.md, and stop")
    asked = parser.parse_args()
    from benchmarks.tables import put_table
    from ncfm_hub.machine.memory import keep_freed_memory

    keep_freed_memory()
    if not asked.page:
        if asked.folder is None:
            parser.error("give the folder of the set by --set")
        keep(asked.study, run(asked.study, asked.folder))
    kept = json.loads((KEPT / f"{asked.study}.json").read_text())
    lines = [f"`{kept['command']}`", "", *TABLES[asked.study](kept["results"])]
    put_table(PAGE, asked.study, "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
