"""What a GPU makes of ncfm-hub, within a few minutes: exactness, speed, memory, and whole runs on real images.

    python benchmarks/gpu.py --minutes 8 --out FOLDER
    python benchmarks/gpu.py --minutes 8 --out FOLDER --parts cell --train a.parquet b.parquet --test t.parquet \\
        --cell distillation.steps=2000,distillation.lr=0.02 --cell pool.epochs=12
    python benchmarks/gpu.py --tiny --minutes 1 --out FOLDER     # the same code on small shapes, on a CPU
    python benchmarks/gpu.py --table                             # puts benchmarks/results/gpu/ into docs/engine.md

Parts, by importance, each in a JSON file of its own that is written as its pieces end:

oracle: loss and gradients of a step against the float64 oracle, in every number format of the card
step: the reference work in random pixels: ms a step, launched and as a CUDA graph, host's share, draws, peak memory
rate: images per second of pool and students, ConvNet-3 at 32 px; a run of the preset `paper` projected from them
cell: whole runs on CIFAR-10, given as parquet shards or tensor files, that differ in the settings of each `--cell`

A piece that does not fit the time left is skipped and named in summary.json. Neither `datasets` nor a network is
needed. Beside torch, torchvision, timm, accelerate, huggingface_hub, safetensors, numpy, pyarrow, pillow, filelock,
pyyaml and tqdm it takes the wheels of pydantic, pydantic_core, annotated-types, typing-inspection and
typing-extensions. The results of a card belong in benchmarks/results/gpu/CARD/.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "gpu"
PARTS = ("oracle", "step", "rate", "cell")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="from now until all must have ended [8]")
    parser.add_argument("--out", type=Path, help="folder of the figures")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help="only these [all]")
    parser.add_argument("--tiny", action="store_true", help="small shapes, uncompiled")
    parser.add_argument("--preset", default="gpu", help="whose settings the cells change [gpu]")
    parser.add_argument(
        "--train", nargs="+", type=Path, default=[], metavar="FILE", help="training images of the cells"
    )
    parser.add_argument("--test", nargs="+", type=Path, default=[], metavar="FILE", help="test images of the cells")
    parser.add_argument(
        "--cell", action="append", default=[], metavar="KEY=VALUE,...", help="a run with these settings"
    )
    parser.add_argument("--table", action="store_true", help="measure nothing; put what there is into docs/engine.md")
    asked = parser.parse_args()
    if asked.out is None and not asked.table:
        parser.error("give the folder of the figures by --out")
    return asked


def measure(asked: argparse.Namespace, began: float) -> int:
    """Measure within the time asked for; returns 1 if a piece failed."""
    import torch

    from benchmarks.gpu_parts import cells, exactness, rates, steps
    from benchmarks.gpu_parts.lease import Lease, Watch
    from benchmarks.gpu_parts.shapes import recipe_of
    from ncfm_hub.machine.engine import open_engine
    from ncfm_hub.machine.memory import keep_freed_memory
    from ncfm_hub.machine.reproducible import reproducible

    keep_freed_memory()
    reference = recipe_of("paper", {}, asked.tiny)
    with reproducible():
        torch.manual_seed(0)
        lease = Lease(began, 60 * asked.minutes, asked.out, 0.02 if asked.tiny else 1.0)
        engine = open_engine("auto", "off" if asked.tiny else "auto", Watch(lease))
        lease.machine = machine_of(engine)
        files = (asked.train, asked.test)
        of_parts = {
            "oracle": exactness.pieces(lease, reference, engine, asked.tiny),
            "step": steps.pieces(lease, reference, engine, asked.tiny),
            "rate": rates.pieces(lease, reference, engine, asked.tiny),
            "cell": cells.pieces(lease, engine, asked.preset, asked.cell, files, asked.tiny),
        }
        lease.run([piece for part in PARTS if part in asked.parts for piece in of_parts[part]])
    return 1 if lease.missing["failed"] else 0


def machine_of(engine: Any) -> dict[str, Any]:
    """What a figure must be read with."""
    import torch

    from ncfm_hub._version import __version__

    found = engine.describe() | {"torch": torch.__version__, "cuda": torch.version.cuda, "ncfm_hub": __version__}
    if engine.device.type == "cuda":
        found["memory_gb"] = round(torch.cuda.get_device_properties(engine.device).total_memory / 1e9, 1)
    return found


def main() -> int:
    began, asked = time.monotonic(), parse()
    if not asked.table:
        return measure(asked, began)
    from benchmarks.gpu_parts.page import page
    from benchmarks.tables import put_table

    put_table("docs/engine.md", "gpu", page(RESULTS))
    print(page(RESULTS))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
