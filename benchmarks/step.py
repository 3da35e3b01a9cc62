"""How fast a distillation step and a training update are: ours against the code as it is commonly written.

    python benchmarks/step.py --dataset path/to/cifar10 [--scaling] [--rounds 5] [--json FILE] [--docs]

In one process, on one thread, turn by turn, in CPU-seconds; a source of 32 px images at 10 stored images per class.

plain: the algorithm class after class in fp32, uncompiled (`benchmarks/plain.py`), in a program that leaves the memory
allocator as it is; and "memory kept", with freed memory kept as the command line has it
ours: the same work (1,024 real images of each class, 4,096 frequencies, calibration) in fp32, and in bf16
defaults: ours with the settings of the preset `cpu`, which are less work; how accurate they are, `ablation.py` says
training: updates of a ConvNet-3 on 100 images, plain and ours

Extractors have fresh weights: what they have learnt has no part in how long they take. `--scaling` instead measures
how the cost of a step grows with classes, real images and frequencies.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REFERENCE = {"real_batch": 1024, "frequencies": 4096, "calibration": 1.0, "sampling_network": False, "cutout": True}
IPC, FACTOR, BATCH = 10, 2, 100
SCALING = {"classes": (2, 4, 6, 8, 10), "real_batch": (256, 512, 768, 1024), "frequencies": (1024, 2048, 3072, 4096)}
Way = Callable[[int], object]


def ours(source: Any, pool: Any, recipe: Any, precision: str, changes: dict[str, Any]) -> Way:
    """Our step under a recipe's values with `changes`."""
    from ncfm_hub.distillation.distiller import Distiller
    from ncfm_hub.distillation.settings import settings_of
    from ncfm_hub.machine.engine import open_engine

    values = recipe.model_copy(update=changes | {"ipc": IPC})
    settings = settings_of(values, source.info, True, "cpu")
    return Distiller(source, pool, settings, open_engine(precision, "on")).step


def our_training(images: Any, targets: Any) -> Way:
    """Our update of a ConvNet-3 on one batch."""
    import torch

    from ncfm_hub.machine.engine import open_engine
    from ncfm_hub.networks.convnet import ConvNet
    from ncfm_hub.networks.trainer import Trainer

    network = ConvNet(targets.shape[1])
    trainer, optimizer = Trainer(network, open_engine("fp32", "on")), torch.optim.AdamW(network.parameters(), lr=1e-3)
    return lambda number: trainer.fit([(images, targets)], optimizer, lambda update: 1e-3)


def fresh_pool(source: Any) -> Any:
    """Two pairs of untrained ConvNets."""
    from ncfm_hub.extractors.pool import Pool
    from ncfm_hub.networks.build import Architecture, build_network, channel_statistics, convnet_for

    info = source.info
    mean, std = channel_statistics(source.train.images)
    name = convnet_for(info.resolution)
    architecture = Architecture(name, len(info.class_names), info.channels, info.resolution, mean, std)
    members = tuple(tuple(build_network(architecture).state_dict() for _ in range(2)) for _ in range(2))
    return Pool(architecture, info.class_names, members, (), "fresh", "fresh", None)


def reference_operations(architecture: Any) -> float:
    """Floating-point operations of a step of the reference work, convolutions in the direct form."""
    from ncfm_hub.planning.operations import forward_operations

    decoded, real, frequencies = IPC * FACTOR**2, REFERENCE["real_batch"], REFERENCE["frequencies"]
    networks = forward_operations(architecture) * (real + 2 * 2 * decoded)  # forward and back, in two networks
    products = 2 * 2048 * frequencies * (real + 2 * decoded)
    return float(architecture.classes * (networks + products))


def matmul_speed(dtype: Any) -> float:
    """Operations per second of a large product of this dtype."""
    import torch

    a, b = torch.randn(1024, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    fastest = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        a @ b
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * 1024 * 2048 * 2048 / fastest


def interleaved(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """CPU-seconds of every way in every round, after one round that is not counted."""
    for way in ways.values():
        way(0)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, way in ways.items():
            began = time.process_time()
            way(number)
            seconds[name].append(time.process_time() - began)
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    return seconds


def ratios_to(first: str, seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    return {
        name: [one / other for one, other in zip(seconds[first], took, strict=True)] for name, took in seconds.items()
    }


def table(first: str, seconds: dict[str, list[float]], peak: float, work: dict[str, float]) -> list[str]:
    """Markdown; work: operations of those ways whose share of the peak is shown."""
    lines = [f"| {first.split(',')[0]} | CPU-seconds | times as fast (least to most) | of peak |", "|---|---|---|---|"]
    ratios = ratios_to(first, seconds)
    for name, took in seconds.items():
        median, of = statistics.median(took), ratios[name]
        share = f"{100 * work[name] / median / peak:.0f} %" if name in work else ""
        label = name.split(", ", 1)[1]
        lines.append(
            f"| {label} | {median:.3g} | {statistics.median(of):.2f} ({min(of):.2f} to {max(of):.2f}) | {share} |"
        )
    return lines


def measure_speed(source: Any, recipe: Any, rounds: int) -> tuple[dict[str, Any], list[str]]:
    """The figures, and the two tables."""
    import torch
    import torch.nn.functional as F

    from benchmarks.plain import PlainDistillation, PlainTraining, usual_memory
    from ncfm_hub.planning.operations import forward_operations, machine_speed

    pool, classes = fresh_pool(source), len(source.info.class_names)
    plain = PlainDistillation(
        source, pool.architecture, ipc=IPC, factor=FACTOR, real=1024, frequencies=4096, w=REFERENCE["calibration"]
    )

    def as_usual(way: Way) -> Way:
        def run(number: int) -> None:
            with usual_memory():
                way(number)

        return run

    steps: dict[str, Way] = {
        "step, plain": as_usual(plain.step),
        "step, plain, memory kept": plain.step,
        "step, ours, fp32": ours(source, pool, recipe, "fp32", REFERENCE),
        "step, ours, bf16": ours(source, pool, recipe, "bf16", REFERENCE),
        "step, defaults (less work)": ours(source, pool, recipe, "auto", {}),
    }
    images = torch.randn(BATCH, 3, 32, 32)
    targets = F.one_hot(torch.randint(classes, (BATCH,)), classes).float()
    training = PlainTraining(images, targets)
    updates: dict[str, Way] = {
        "training, plain": as_usual(training.step),
        "training, plain, memory kept": training.step,
        "training, ours": our_training(images, targets),
    }
    many = {name: (lambda number, way=way: [way(number) for _ in range(5)]) for name, way in updates.items()}
    peaks = {"convolution": machine_speed(torch.device("cpu")), "matmul": matmul_speed(torch.float32)}
    peak, of_bf16 = max(peaks.values()), matmul_speed(torch.bfloat16)
    of_steps, of_training = interleaved(steps, rounds), interleaved(many, rounds)
    reference = reference_operations(pool.architecture)
    work = 5 * 3 * BATCH * forward_operations(pool.architecture)
    lines = table(
        "step, plain", of_steps, peak, {name: reference for name in steps if name != "step, defaults (less work)"}
    )
    lines += ["", *table("training, plain", of_training, peak, dict.fromkeys(updates, work)), ""]
    lines.append(
        f"Peak: {peak / 1e9:.0f} GFLOP/s, the larger of a convolution's and a product's; a product in bf16 reaches "
        f"{of_bf16 / 1e9:.0f}. Operations are those of the direct convolution, of which Winograd's way saves most. "
        "Training: five updates of 100 images."
    )
    seconds = of_steps | of_training
    ratios = ratios_to("step, plain", of_steps) | ratios_to("training, plain", of_training)
    return {"cpu_seconds": seconds, "times_as_fast": ratios, "peaks": peaks | {"matmul, bf16": of_bf16}}, lines


def measure_scaling(source: Any, recipe: Any, rounds: int) -> tuple[dict[str, Any], list[str]]:
    """Seconds of a step against one size at a time, with the line fitted through them."""
    import numpy as np

    from ncfm_hub.sources.types import ImageSet, Source

    figures: dict[str, Any] = {}
    lines = ["| size | CPU-seconds of a step at each value | fitted line | R^2 |", "|---|---|---|---|"]
    for size, values in SCALING.items():
        ways: dict[str, Way] = {}
        for value in values:
            some, changes = source, dict(REFERENCE)
            if size == "classes":
                info = source.info
                kept = source.train.labels < value
                part = ImageSet(source.train.images[kept], source.train.labels[kept])
                names = info.class_names[:value]
                some = Source(type(info)(**{**vars(info), "class_names": names}), part, source.test, "part")
            else:
                changes[size] = value
            ways[str(value)] = ours(some, fresh_pool(some), recipe, "fp32", changes)
        medians = [statistics.median(took) for took in interleaved(ways, rounds).values()]
        slope, fixed = np.polyfit(values, medians, 1)
        errors = np.asarray(medians) - (slope * np.asarray(values) + fixed)
        fit = 1 - (errors**2).sum() / ((medians - np.mean(medians)) ** 2).sum()
        figures[size] = {"values": values, "cpu_seconds": medians, "slope": slope, "fixed": fixed, "r_squared": fit}
        measured = ", ".join(f"{value:,}: {took:.2f}" for value, took in zip(values, medians, strict=True))
        lines.append(f"| {size} | {measured} | {fixed:.2f} + {slope:.3g} x | {fit:.4f} |")
    return figures, lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10", help="pipeline, Hub id or local folder of 32 px colour images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scaling", action="store_true", help="how the cost grows, in place of how fast it is")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/engine.md")
    asked = parser.parse_args()
    import torch

    from ncfm_hub.machine.engine import open_engine
    from ncfm_hub.machine.memory import keep_freed_memory
    from ncfm_hub.recipes.resolve import load_pipeline
    from ncfm_hub.sources import load_source

    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    machine = open_engine("auto", "on").describe()
    recipe = load_pipeline(asked.dataset, preset="cpu").recipe
    measure = measure_scaling if asked.scaling else measure_speed
    figures, lines = measure(load_source(recipe.source), recipe.distillation, asked.rounds)
    print("\n".join(lines))
    if asked.docs:
        from benchmarks.tables import put_table

        put_table("docs/engine.md", "scaling" if asked.scaling else "step", "\n".join(lines))
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({"machine": machine, "rounds": asked.rounds, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
