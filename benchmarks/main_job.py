"""The main job on real images, as a user would start it, measured from outside.

    python benchmarks/main_job.py --dataset cifar10 --ipc 10
    python benchmarks/main_job.py --dataset path/to/cifar10 --pipeline cifar10 --ipc 10 --readme

Runs `ncfm-hub distill` in a child process with an empty cache, and writes wall time, peak memory and the measured
rows to benchmarks/results/. `--readme` puts the table between the README's markers.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent


def pipeline_over(dataset: str, pipeline: str, folder: Path) -> str:
    """A copy of a shipped pipeline that reads a local folder instead of the Hub."""
    content = yaml.safe_load((HERE.parent / "pipelines" / f"{pipeline}.yaml").read_text())
    content["source"]["dataset"] = str(Path(dataset).resolve())
    content["source"].pop("config", None)
    path = folder / f"{pipeline}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


def run(
    dataset: str, ipc: int, preset: str, seed: int, steps: int | None, output: Path, more: Sequence[str] = ()
) -> dict[str, float]:
    """Run the job, with `more` arguments, with a cache of its own; wall and CPU seconds and peak resident bytes."""
    command = [sys.executable, "-m", "ncfm_hub", "distill", "--dataset", dataset, "--ipc", str(ipc), "--preset", preset]
    command += ["--seed", str(seed), "--output", str(output), "--yes"]
    command += [*([] if steps is None else ["--steps", str(steps)]), *more]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NCFM_HUB_CACHE": cache, "HF_HOME": f"{cache}/hf"}
        environment |= {"TORCHINDUCTOR_CACHE_DIR": f"{cache}/compiled"}
        began = time.perf_counter()
        subprocess.run(command, check=True, env=environment)
        wall = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_bytes": used.ru_maxrss * 1024,
    }


def rows(results: dict) -> list[str]:
    """The rows of a results.json as lines of a Markdown table."""
    from ncfm_hub.publishing.cards.statements import SETS

    lines = ["| trained on | labels | stored images | test acc. % (mean ± std) | students |", "|---|---|---|---|---|"]
    for row in results["rows"]:
        figure = row["accuracy"]
        spread = f" ± {figure['std']:.1f}" if figure["std"] is not None else ""
        cells = [
            str(SETS[row["set"]]),
            row["labels"],
            f"{row['stored_images']:,}",
            f"{figure['mean']:.1f}{spread}",
            str(figure["n"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table(result: dict) -> str:
    """The rows as a Markdown table, with the command's cost below."""
    machine, cost = result["machine"], result["cost"]
    lines = [
        *rows(result["results"]),
        "",
        f"{result['name']}, {result['ipc']} images per class, preset `{result['preset']}`, "
        f"{result['results']['distillation']['steps']:,} steps, seed {result['seed']}: "
        f"{cost['wall_seconds'] / 60:.0f} minutes in total on {machine['threads']} cores ({machine['description']}, "
        f"{machine['precision']}), {cost['peak_bytes'] / 1e9:.1f} GB peak memory. Last epoch, test split, "
        f"{result['results']['protocol']['updates']} updates for every row.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10", help="pipeline, Hub id, or a local folder with --pipeline")
    parser.add_argument("--pipeline", help="shipped pipeline whose settings a local folder gets")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="distillation steps (default: the preset's)")
    parser.add_argument("--output", type=Path, help="keep the distilled folder here")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    asked = parser.parse_args()
    from benchmarks.tables import put_table

    name = asked.pipeline or asked.dataset
    with tempfile.TemporaryDirectory() as scratch:
        dataset = pipeline_over(asked.dataset, asked.pipeline, Path(scratch)) if asked.pipeline else asked.dataset
        output = asked.output or Path(scratch) / "distilled"
        cost = run(dataset, asked.ipc, asked.preset, asked.seed, asked.steps, output)
        described = yaml.safe_load((output / f"ipc{asked.ipc}" / "pipeline.yaml").read_text())
        results = json.loads((output / f"ipc{asked.ipc}" / "results.json").read_text())
    result = {
        "name": name,
        "ipc": asked.ipc,
        "preset": asked.preset,
        "seed": asked.seed,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": described["machine"],
        "versions": described["versions"],
        "cost": cost,
        "wall_time_seconds": described["wall_time_seconds"],
        "results": results,
    }
    quick = f"-{asked.steps}-steps" if asked.steps is not None else ""
    path = HERE / "results" / f"{name}-ipc{asked.ipc}-{asked.preset}{quick}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    if asked.readme:
        put_table("README.md", f"{name}-ipc{asked.ipc}", table(result))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
