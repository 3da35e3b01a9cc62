"""What each choice is worth: the same distillation with one thing changed, on a part cut from the training split.

    python benchmarks/ablation.py --dataset path/to/cifar10 --pipeline cifar10        # goes on where it stopped
    python benchmarks/ablation.py --dataset path/to/cifar10 --pipeline cifar10 --cells "psi" "alpha 0.1"
    python benchmarks/ablation.py --table                                             # what there is, what is missing

A cell is a number of distillations of consecutive seeds, each measured by students with hard labels. Every cell is
written to benchmarks/results/ablation/ as its distillations end. Cells are compared in pairs of equal seed, which share
the start, the pool, the draws and the students' weights and batches. A table takes the seeds below `--distillations`
alone, in means as in differences, though a cell may have more. The test split is never read. `--table` prints Markdown,
and `--docs` puts it into docs/engine.md.
"""

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BASE = "defaults"
NOT_DISTILLED = ("mixed-tile start", "random images")
SHOWN = {"mixed-tile start": "initialisation (real tiles)", "random images": "random real images"}  # in tables
# What a cell changes in the preset `cpu`, by dotted key.
CELLS: dict[str, dict[str, Any]] = {
    "mixed-tile start": {},
    BASE: {},
    "without calibration": {"distillation.calibration": 0.0},
    "psi": {"distillation.sampling_network": True},
    "psi, rate 0.1": {"distillation.sampling_network": True, "distillation.sampling_lr": 0.1},
    "psi, rate 0.1, debiased": {
        "distillation.sampling_network": True,
        "distillation.sampling_lr": 0.1,
        "distillation.sampling_objective": "debiased",
    },
    "random images": {},
    "256 real images": {"distillation.real_batch": 256},
    "reference work": {"distillation.real_batch": 1024, "distillation.frequencies": 4096},
    "orthogonal": {"distillation.orthogonal": True},
    "bank of 50": {"distillation.bank": 50},
    "feature means (DM)": {"distillation.matching": "mean"},
    "feature means (DM) without calibration": {"distillation.matching": "mean", "distillation.calibration": 0.0},
    "alpha 0.1": {"distillation.alpha": 0.1},
    "alpha 0.9": {"distillation.alpha": 0.9},
    "1,024 real images": {"distillation.real_batch": 1024},
    "without calibration, psi, rate 0.1, debiased": {
        "distillation.calibration": 0.0,
        "distillation.sampling_network": True,
        "distillation.sampling_lr": 0.1,
        "distillation.sampling_objective": "debiased",
    },
    "without calibration, frequency scale 4": {"distillation.calibration": 0.0, "distillation.frequency_scale": 4.0},
    "extractors of 6 epochs": {"pool.epochs": 6},
    "6 extractors": {"pool.size": 6},
    "calibration 2": {"distillation.calibration": 2.0},
    "calibration 10": {"distillation.calibration": 10.0},
    "frequency scale 0.5": {"distillation.frequency_scale": 0.5},
    "frequency scale 2": {"distillation.frequency_scale": 2.0},
    "pixel rate 0.01": {"distillation.lr": 1e-2},
    "pixel rate 0.04": {"distillation.lr": 4e-2},
}


class Bench:
    """Source, pool and students, made once for all cells."""

    def __init__(self, asked: argparse.Namespace):
        from benchmarks.main_job import pipeline_over
        from ncfm_hub import stages
        from ncfm_hub.evaluation.students import Students
        from ncfm_hub.machine.engine import open_engine
        from ncfm_hub.utils.progress import Silent

        self.asked, self.quiet = asked, Silent()
        with tempfile.TemporaryDirectory() as scratch:
            self.name = pipeline_over(asked.dataset, asked.pipeline, Path(scratch)) if asked.pipeline else asked.dataset
            self.recipe = self._recipe({})
            self.of_cell = {cell: self._recipe(changes) for cell, changes in CELLS.items()}
        self.engine = open_engine(
            self.recipe.engine.precision, self.recipe.engine.compile, device=self.recipe.engine.device
        )
        self.source = stages.read_source(self.recipe, "unread", None, self.quiet)
        images = asked.ipc * len(self.source.info.class_names) * self.recipe.distillation.factor**2
        plan = stages.student_plan(self.recipe.evaluation, self.recipe.source.flip, images)
        self.students = Students(self.pool_of(BASE).architecture, plan, self.engine)

    def _recipe(self, changes: dict[str, Any]) -> Any:
        from ncfm_hub.recipes.resolve import load_pipeline

        fixed = {"distillation.ipc": self.asked.ipc, "distillation.steps": self.asked.steps}
        fixed |= {"evaluation.updates": self.asked.updates}
        return load_pipeline(self.name, preset="cpu", overrides=fixed | changes).recipe

    def pool_of(self, cell: str) -> Any:
        """Trained, or from the cache; the pool that was given, unless the cell changes how pools are made."""
        from ncfm_hub.extractors.cache import get_extractors

        recipe = self.of_cell[cell]
        place = self.asked.pool if recipe.pool == self.recipe.pool else None
        return get_extractors(self.source, recipe, place, self.engine, None, self.quiet)

    def measure(self, cell: str, seed: int) -> dict[str, Any]:
        """One distillation of a cell and its students, in percent."""
        from ncfm_hub.evaluation.batches import TrainingSet
        from ncfm_hub.evaluation.protocol import Row, measure

        pool = self.pool_of(cell)
        began = time.perf_counter()
        images, labels = self._images(cell, seed, pool)
        spent = time.perf_counter() - began
        classes = len(self.source.info.class_names)
        row = Row(cell, "hard", TrainingSet(images, labels), self.asked.ipc * classes)
        # Students of their own for every distillation, the same for every cell.
        seeds = range(seed * self.asked.students, (seed + 1) * self.asked.students)
        (measured,) = measure([row], self.source.test, self.students, seeds, self.engine)
        accuracy = measured["accuracy"]["values"]
        digest = pool.digest[:16]
        return {"seed": seed, "accuracy": accuracy, "distillation_seconds": round(spent, 1), "pool": digest}

    def _images(self, cell: str, seed: int, pool: Any) -> tuple[Any, Any]:
        import torch

        from ncfm_hub.distillation.loop import distill_images
        from ncfm_hub.distillation.settings import settings_of
        from ncfm_hub.distillation.start import make_start
        from ncfm_hub.evaluation.baselines import random_images
        from ncfm_hub.publishing import decode_stored, to_pixels

        ipc, classes = self.asked.ipc, len(self.source.info.class_names)
        if cell == "random images":
            chosen = random_images(self.source, ipc, seed)
            return chosen.images, chosen.labels
        recipe = self.of_cell[cell]
        factor = recipe.distillation.factor
        if cell == "mixed-tile start":
            stored = make_start(self.source, ipc, factor, seed)
        else:
            # Distillations of one cell are independent: each has a bank of its own.
            own = recipe.distillation.model_copy(update={"seed": seed, "bank_seed": seed})
            values = settings_of(
                own, self.source.info, recipe.source.flip, self.engine.device.type, self.engine.processes
            )
            stored = distill_images(self.source, pool, values, self.engine).stored
        labels = torch.arange(classes).repeat_interleave(ipc * factor**2)
        return decode_stored(to_pixels(stored), factor), labels


def path_of(cell: str, asked: argparse.Namespace) -> Path:
    return asked.results / (re.sub(r"[^a-z0-9.]+", "-", cell.lower()).strip("-") + ".json")


def conditions(asked: argparse.Namespace) -> dict[str, Any]:
    """What all cells of a table share."""
    return {
        "dataset": asked.pipeline or asked.dataset,
        "ipc": asked.ipc,
        "steps": asked.steps,
        "updates": asked.updates,
        "students": asked.students,
        "split": "validation part of the training split",
    }


def read_cell(cell: str, asked: argparse.Namespace) -> dict[str, Any]:
    """A cell as far as it has come; empty if it has not begun."""
    path = path_of(cell, asked)
    if not path.is_file():
        return {"cell": cell, "conditions": conditions(asked), "changes": CELLS[cell], "distillations": []}
    kept: dict[str, Any] = json.loads(path.read_text())
    if kept["conditions"] != conditions(asked) or kept["changes"] != CELLS[cell]:
        raise SystemExit(f"{path} was measured under other conditions; give those, or move it away")
    return kept


def run_cells(asked: argparse.Namespace) -> None:
    todo = [
        (cell, seed)
        for cell in asked.cells
        for seed in range(asked.distillations)
        if seed not in [one["seed"] for one in read_cell(cell, asked)["distillations"]]
    ]
    if not todo:
        return
    bench = Bench(asked)
    described = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(described, cwd=HERE, capture_output=True, text=True, check=True).stdout
    for cell, seed in todo:
        found = bench.measure(cell, seed) | {"commit": commit.strip()}
        kept = read_cell(cell, asked) | {"machine": bench.engine.describe()}
        kept["distillations"].append(found)
        path_of(cell, asked).parent.mkdir(parents=True, exist_ok=True)
        path_of(cell, asked).write_text(json.dumps(kept, indent=1) + "\n")
        print(cell, found, file=sys.stderr, flush=True)


def students_of(cell: str, asked: argparse.Namespace) -> dict[int, list[float]]:
    """Accuracies of the students of every distillation that was asked for and has been measured, by its seed."""
    found = read_cell(cell, asked)["distillations"]
    return {one["seed"]: one["accuracy"] for one in found if one["seed"] < asked.distillations}


def means(cell: str, asked: argparse.Namespace) -> dict[int, float]:
    """Mean accuracy of the students of each distillation, by its seed."""
    return {seed: statistics.fmean(values) for seed, values in students_of(cell, asked).items()}


def base_of(cell: str) -> str:
    """What a cell is compared with: the cell that differs from it in one thing."""
    uncalibrated = CELLS[cell].get("distillation.calibration") == 0 and len(CELLS[cell]) > 1
    return "without calibration" if uncalibrated else BASE


def pooled_variance(groups: Iterable[Sequence[float]]) -> float:
    """Within groups, over all of them; each has a mean of its own."""
    several = [group for group in groups if len(group) > 1]
    return sum(statistics.variance(group) * (len(group) - 1) for group in several) / sum(len(g) - 1 for g in several)


def spread(asked: argparse.Namespace) -> str:
    """How much students of one distillation differ, and how much distillations of one cell."""
    cells = [cell for cell in asked.cells if cell not in NOT_DISTILLED and len(means(cell, asked)) > 1]
    if not cells or asked.students < 2:
        return ""
    students = pooled_variance(values for cell in cells for values in students_of(cell, asked).values())
    of_means = pooled_variance(list(means(cell, asked).values()) for cell in cells)
    distillations = max(0.0, of_means - students / asked.students)
    return (
        f"Standard deviations pooled over the {len(cells)} cells that distill: {math.sqrt(students):.2f} between "
        f"students of one distillation, {math.sqrt(distillations):.2f} between distillations, the students' share "
        "taken off."
    )


def table(asked: argparse.Namespace) -> str:
    """Markdown: every cell with the paired difference to its base and the standard error of that."""
    shared = conditions(asked)
    lines = [
        f"{shared['dataset']}, {shared['ipc']} images per class, {shared['steps']} steps; {asked.distillations} "
        f"distillations x {shared['students']} students of {shared['updates']} updates, hard labels, last epoch, "
        f"{shared['split']}.",
        "",
        "| cell | top-1 % (mean ± std over distillations) | paired difference ± standard error | beyond 2 errors |",
        "|---|---|---|---|",
    ]
    missing = []
    for cell in asked.cells:
        found = means(cell, asked)
        if len(found) < asked.distillations:
            missing.append(f"{cell} ({len(found)} of {asked.distillations})")
        if not found:
            continue
        base = {} if cell == BASE else means(base_of(cell), asked)
        found = {seed: value for seed, value in found.items() if seed in base} or found
        pairs = [value - base[seed] for seed, value in found.items() if seed in base]
        deviation = f" ± {statistics.stdev(found.values()):.1f}" if len(found) > 1 else ""
        line = f"| {SHOWN.get(cell, cell)} | {statistics.fmean(found.values()):.1f}{deviation} |"
        if len(pairs) > 1:
            mean, error = statistics.fmean(pairs), statistics.stdev(pairs) / math.sqrt(len(pairs))
            verdict = "no" if abs(mean) <= 2 * error else "better" if mean > 0 else "worse"
            beside = "" if base_of(cell) == BASE else f", to {base_of(cell)}"
            lines.append(f"{line} {mean:+.2f} ± {error:.2f}{beside} | {verdict} |")
        else:
            lines.append(f"{line} | |")
    if said := spread(asked):
        lines += ["", said]
    if missing:
        lines += ["", f"Missing: {', '.join(missing)}."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10", help="pipeline, Hub id, or a local folder with --pipeline")
    parser.add_argument("--pipeline", default="cifar10", help="shipped pipeline whose settings a local folder gets")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--updates", type=int, default=400, help="of a student")
    parser.add_argument("--distillations", type=int, default=3)
    parser.add_argument("--students", type=int, default=2, help="of each distillation")
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS), metavar="CELL")
    parser.add_argument("--pool", help="folder of the pool that cells measured so far have used, in place of its own")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "ablation", help="folder of the cells")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/engine.md")
    parser.add_argument("--table", action="store_true", help="measure nothing; print what there is")
    asked = parser.parse_args()
    if not asked.table:
        from ncfm_hub.machine.memory import keep_freed_memory

        keep_freed_memory()
        run_cells(asked)
    print(table(asked))
    if asked.docs:
        from benchmarks.tables import put_table

        put_table("docs/engine.md", "ablation", table(asked))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
