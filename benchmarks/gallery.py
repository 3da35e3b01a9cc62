"""Contact sheets and accuracies of docs/gallery.md, each from one command of ncfm-hub.

    python benchmarks/gallery.py digits
    python benchmarks/gallery.py cifar100 --dataset path/to/cifar100-subset
    python benchmarks/gallery.py imagenette --dataset path/to/imagenette-128-subset
    python benchmarks/gallery.py cifar10 --folder cifar10-ncfm      # what benchmarks/main_job.py --output keeps

Distills with an empty cache, or takes a folder that is there, writes docs/images/gallery-NAME.png, and puts picture,
command and accuracies between the page's markers.
"""

import argparse
import io
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.main_job import pipeline_over, rows, run  # noqa: E402
from benchmarks.tables import put_table  # noqa: E402
from ncfm_hub.utils.counting import counted  # noqa: E402

PAGE, IMAGES = "docs/gallery.md", ROOT / "docs" / "images"
LARGEST = 300_000  # bytes of a picture; larger ones make a page slow
COLOURS = 256  # of a larger picture: a byte a pixel, before compression


@dataclass(frozen=True)
class Entry:
    """An entry of the gallery. flags: what its command has besides --dataset, --ipc and --preset cpu"""

    title: str
    ipc: int
    flags: tuple[str, ...] = ()


def command(name: str, ipc: int, preset: str, flags: Sequence[str]) -> str:
    """Return a command as a user types it."""
    words = ["ncfm-hub", "distill", "--dataset", name, "--ipc", str(ipc), "--preset", preset, *flags]
    return shlex.join(words)


def short(steps: int, *settings: str) -> tuple[str, ...]:
    """Return flags for a short run, with hard labels alone, which halves the evaluation."""
    words = [word for one in (*settings, "evaluation.soft_labels=false") for word in ("--set", one)]
    return ("--steps", str(steps), *words)


# So few steps that all of them together take minutes on two cores; more give higher accuracies.
ENTRIES = {
    # As in `make demo`.
    "digits": Entry(
        "Digits, 16 px", 1, short(40, "pool.size=1", "distillation.real_batch=32", "evaluation.updates=60")
    ),
    "cifar10": Entry("CIFAR-10, 32 px", 10),
    "cifar100": Entry(
        "CIFAR-100, 32 px",
        1,
        (
            *short(30, "pool.size=1", "pool.epochs=4", "distillation.real_batch=16", "evaluation.updates=80"),
            *("--set", "engine.compile=off", "--students", "2", "--baselines", "random,start"),
        ),
    ),
    "imagenette": Entry(
        "Imagenette, 128 px",
        1,
        (
            *short(20, "pool.size=1", "pool.epochs=1", "distillation.real_batch=16", "evaluation.updates=20"),
            *("--set", "evaluation.batch_size=40", "--students", "2", "--baselines", "random,start"),
        ),
    ),
}


def picture(preview: Path, file: Path) -> None:
    """Write a contact sheet of at most LARGEST bytes, with fewer colours where it is larger."""
    from PIL import Image

    data = preview.read_bytes()
    if len(data) > LARGEST:
        buffer = io.BytesIO()
        Image.open(preview).quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, "PNG", optimize=True)
        data = buffer.getvalue()
    if len(data) > LARGEST:
        raise SystemExit(f"{preview} has {len(data):,} bytes in {COLOURS} colours; expected at most {LARGEST:,}")
    file.write_bytes(data)


def text(name: str, folder: Path, flags: Sequence[str] | None, over: str | None) -> str:
    """Return the entry in Markdown, from the records of the distilled dataset in `folder`.

    flags: of the command that made it; None: its steps alone
    over: local folder that it was made from, in place of the Hub's dataset
    """
    described = yaml.safe_load((folder / "pipeline.yaml").read_text())
    results = json.loads((folder / "results.json").read_text())
    source, machine, ipc = described["source"], described["machine"], described["ipc"]
    minutes = max(1, round(described["wall_time_seconds"]["total"] / 60))
    tested, steps = results["protocol"]["test_images"], described["recipe"]["distillation"]["steps"]
    typed = command(name, ipc, described["preset"], ("--steps", str(steps)) if flags is None else flags)
    shown = f"Contact sheet of {ENTRIES[name].title}, IPC {ipc}: stored images, a row per class"
    return "\n".join(
        [
            f"![{shown}](images/gallery-{name}.png)",
            "",
            f"`{typed}`" + (f" over `{over}`" if over else ""),
            "",
            *rows(results),
            "",
            f"{len(source['class_names'])} classes, IPC {ipc}, {steps:,} steps, seed "
            f"{described['seed']}; {source['train_count']:,} training and {tested:,} test images; "
            f"{results['protocol']['updates']} updates for every row; {counted(minutes, 'minute')} in all on "
            f"{machine['threads']} threads ({machine['description']}).",
        ]
    )


def main() -> None:
    """Make one entry, or take it from a folder, and put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(ENTRIES))
    parser.add_argument("--dataset", help="local folder in place of the Hub's dataset")
    parser.add_argument("--folder", type=Path, help="distilled dataset that is there, of one directory or more")
    asked = parser.parse_args()
    from ncfm_hub.publishing.dataset.place import find_set

    entry = ENTRIES[asked.name]
    with tempfile.TemporaryDirectory() as scratch:
        folder, flags = asked.folder, None
        if folder is None:
            dataset = pipeline_over(asked.dataset, asked.name, Path(scratch)) if asked.dataset else asked.name
            folder, flags = Path(scratch) / "distilled", entry.flags
            run(dataset, entry.ipc, "cpu", 0, None, folder, flags)
        made = find_set(folder).folder
        picture(made / "preview.png", IMAGES / f"gallery-{asked.name}.png")
        put_table(PAGE, asked.name, text(asked.name, made, flags, Path(asked.dataset).name if asked.dataset else None))


if __name__ == "__main__":
    main()
