"""A cell of the published table, in stages that each fit a short window and hand over by files.

    python benchmarks/paper.py --dataset cifar10 --ipc 10 --stage prepare  --work FOLDER
    python benchmarks/paper.py --dataset cifar10 --ipc 10 --stage pretrain --work FOLDER [--minutes 9]
    python benchmarks/paper.py --dataset cifar10 --ipc 10 --stage distill  --work FOLDER
    python benchmarks/paper.py --dataset cifar10 --ipc 10 --stage evaluate --work FOLDER

Each stage goes on where its last call stopped and says whether it is done; exit status 3 means "call it again". What
another machine needs to go on is in FOLDER/hand-over: the images as tensors (in pieces, from `prepare`, the only stage
that needs the `datasets` library), the pool packed into four files, and in ipc<N> the distillation. `evaluate` writes
benchmarks/results/paper/<dataset>-ipc<N>.json, with the name of the hardware. The preset is `paper`; change values by
`--set KEY=VALUE`. Students are 10, last epoch, hard and soft labels.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PIECE_BYTES = 48 << 20
POOL_FILES = 4
AGAIN = 3


class OutOfTimeError(Exception):
    """The window is over; what has been done is on disk."""


class Window:
    """A progress that ends the stage when its time is over."""

    def __init__(self, minutes: float):
        self.end = time.monotonic() + 60 * minutes
        self.said = 0.0

    def note(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    def advance(self, count: int = 1, **figures: float | str) -> None:
        if time.monotonic() > self.end:
            raise OutOfTimeError

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator["Window"]:
        self.note(f"{what}: {done} of {total} done before")
        yield self


class Stages:
    """The stages of one cell."""

    def __init__(self, asked: argparse.Namespace):
        import yaml

        from ncfm_hub.recipes.resolve import load_pipeline

        self.asked, self.work, self.window = asked, asked.work, Window(asked.minutes)
        self.hand_over = self.work / "hand-over"
        self.cell = self.hand_over / f"ipc{asked.ipc}"
        self.cell.mkdir(parents=True, exist_ok=True)
        changes = dict(assignment.split("=", 1) for assignment in asked.set)
        overrides = {"evaluation.students": 10} | {key: yaml.safe_load(value) for key, value in changes.items()}
        self.recipe = load_pipeline(asked.dataset, preset="paper", overrides=overrides).recipe

    def prepare(self) -> None:
        from safetensors.torch import save_file

        from ncfm_hub.sources import load_source

        source = load_source(self.recipe.source)
        described = {"info": asdict(source.info), "fingerprint": source.fingerprint, "pieces": {}}
        for name, part in (("train", source.train), ("test", source.test)):
            rows = max(1, PIECE_BYTES // part.images[0].numel())
            pieces = list(zip(part.images.split(rows), part.labels.split(rows), strict=True))
            for number, (images, labels) in enumerate(pieces):
                tensors = {"images": images.contiguous(), "labels": labels.contiguous()}
                save_file(tensors, self.hand_over / f"{name}-{number}.safetensors")
            described["pieces"][name] = len(pieces)
        (self.hand_over / "source.json").write_text(json.dumps(described))

    def pretrain(self) -> None:
        from safetensors.torch import save_file

        from ncfm_hub.extractors.cache import get_pool
        from ncfm_hub.extractors.pool import POOL_FILE, pool_folder

        pool = get_pool(self._source(), self.recipe.source.flip, self.recipe.pool, self._engine(), self.window)
        described = json.loads((pool_folder(pool.key) / POOL_FILE).read_text())
        (self.hand_over / POOL_FILE).write_text(json.dumps(described))
        for number in range(POOL_FILES):
            packed = {
                f"{member}.{which}.{name}": tensor.contiguous()
                for member in range(number, len(pool.members), POOL_FILES)
                for which, weights in zip(("init", "trained"), pool.members[member], strict=True)
                for name, tensor in weights.items()
            }
            save_file(packed, self.hand_over / f"pool-{number}.safetensors")

    def distill(self) -> None:
        from safetensors.torch import save_file

        from ncfm_hub.distillation.loop import distill_images
        from ncfm_hub.distillation.settings import settings_of

        source, engine = self._source(), self._engine()
        values = self.recipe.distillation.model_copy(update={"ipc": self.asked.ipc})
        settings = settings_of(values, source.info, self.recipe.source.flip, engine.device.type, engine.processes)
        checkpoint = self.cell / "checkpoint.safetensors"
        made = distill_images(source, self._pool(), settings, engine, checkpoint, True, self.window)
        save_file({"stored": made.stored, "start": made.start}, self.cell / "distilled.safetensors")
        last = [round(sum(values) / len(values), 4) for values in zip(*made.curve[-100:], strict=True)]
        described = {"steps": len(made.curve), "seconds": made.seconds, "ncfd_and_calibration": last}
        described |= {"machine": engine.describe(), "recipe": values.model_dump()}
        (self.cell / "distilled.json").write_text(json.dumps(described))

    def evaluate(self) -> None:
        import torch
        from safetensors.torch import load_file

        from ncfm_hub.evaluation.batches import TrainingSet
        from ncfm_hub.evaluation.protocol import Row, measure
        from ncfm_hub.evaluation.students import Students, student_plan
        from ncfm_hub.extractors.soft_labels import soft_labels
        from ncfm_hub.publishing import decode_stored, to_pixels

        source, engine, pool = self._source(), self._engine(), self._pool()
        stored = load_file(self.cell / "distilled.safetensors")["stored"]
        classes, factor = len(source.info.class_names), self.recipe.distillation.factor
        images = decode_stored(to_pixels(stored), factor)
        labels = torch.arange(classes).repeat_interleave(self.asked.ipc * factor**2)
        targets = {"hard": None, "soft": soft_labels(images, pool, engine)}
        rows = [
            Row("distilled", kind, TrainingSet(images, labels, target), len(stored)) for kind, target in targets.items()
        ]
        plan = student_plan(self.recipe.evaluation, self.recipe.source.flip, len(labels))
        students = Students(pool.architecture, plan, engine)
        seeds = range(self.recipe.evaluation.students)
        measured = measure(rows, source.test, students, seeds, engine, self.cell / "students", self.window)
        distillation = json.loads((self.cell / "distilled.json").read_text())
        name = Path(self.asked.dataset).name
        result = {
            "dataset": name,
            "ipc": self.asked.ipc,
            "machine": engine.describe(),
            "pool": list(pool.accuracy),
            "distillation": distillation,
            "students": asdict(plan),
            "rows": measured,
        }
        path = HERE / "results" / "paper" / f"{name}-ipc{self.asked.ipc}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        for row in measured:
            print(row["set"], row["labels"], row["accuracy"])

    def _engine(self) -> Any:
        from ncfm_hub.machine.engine import open_engine

        return open_engine(
            self.recipe.engine.precision, self.recipe.engine.compile, self.window, device=self.recipe.engine.device
        )

    def _source(self) -> Any:
        import torch
        from safetensors.torch import load_file

        from ncfm_hub.sources.types import ImageSet, Source, SourceInfo

        described = json.loads((self.hand_over / "source.json").read_text())
        parts = {}
        for name, pieces in described["pieces"].items():
            loaded = [load_file(self.hand_over / f"{name}-{number}.safetensors") for number in range(pieces)]
            images, labels = (torch.cat([piece[key] for piece in loaded]) for key in ("images", "labels"))
            parts[name] = ImageSet(images, labels)
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in described["info"].items()}
        return Source(SourceInfo(**values), parts["train"], parts["test"], described["fingerprint"])

    def _pool(self) -> Any:
        from safetensors.torch import load_file

        from ncfm_hub.extractors.pool import POOL_FILE, Pool
        from ncfm_hub.networks.build import Architecture

        described = json.loads((self.hand_over / POOL_FILE).read_text())
        members: list[Any] = [({}, {}) for _ in described["members"]]
        for number in range(POOL_FILES):
            for key, tensor in load_file(self.hand_over / f"pool-{number}.safetensors").items():
                member, which, name = key.split(".", 2)
                members[int(member)][which == "trained"][name] = tensor
        accuracy = tuple(member["accuracy"] for member in described["members"])
        architecture = Architecture.from_dict(described["architecture"])
        names = tuple(described["class_names"])
        return Pool(architecture, names, tuple(members), accuracy, described["key"], "handed over", None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10", help="pipeline, Hub id or local folder")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--stage", choices=("prepare", "pretrain", "distill", "evaluate"), required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the cell")
    parser.add_argument("--minutes", type=float, default=8.5, help="window of a call, start-up included")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe")
    asked = parser.parse_args()
    from ncfm_hub.machine.memory import keep_freed_memory
    from ncfm_hub.machine.reproducible import reproducible

    keep_freed_memory()
    os.environ["NCFM_HUB_CACHE"] = str((asked.work / "cache").resolve())
    try:
        with reproducible():
            getattr(Stages(asked), asked.stage)()
    except OutOfTimeError:
        print(f"{asked.stage}: not done; call it again", file=sys.stderr)
        return AGAIN
    print(f"{asked.stage}: done", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
