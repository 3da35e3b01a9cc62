"""How far a step is from the float64 oracle, in every number format of the device."""

from dataclasses import replace
from typing import cast

import torch

from benchmarks.gpu_parts.lease import Figures, Lease, Piece, Watch
from ncfm_hub.distillation.distiller import Distiller
from ncfm_hub.distillation.draws import Draws
from ncfm_hub.distillation.settings import settings_of
from ncfm_hub.distillation.units import Inputs
from ncfm_hub.extractors.pool import blend
from ncfm_hub.machine.engine import Engine, open_engine
from ncfm_hub.machine.graphs import WARM_UP, FixedTensors, Repeated
from ncfm_hub.machine.precision import has_bf16
from ncfm_hub.matching.augment import Augmentation
from ncfm_hub.matching.frequencies import normal_frequencies
from ncfm_hub.matching.step import NCFD_WEIGHT
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.seeding import generator
from tests import oracle
from tests.matching.tiny import tiny_pool, tiny_source

# Of the loss, its relative error; of the pixels' gradient, the cosine. Half precision is of the real side alone.
PROMISED = {"fp32": (1e-5, 0.99999), "tf32": (1e-3, 0.9999), "bf16": (1e-2, 0.9999), "fp16": (1e-2, 0.9999)}
STEP = 3  # any will do


class Case:
    """Classes in which there is something to match, and settings of a step on them.

    Half precision is to be judged with as many real images as the reference has: rounding errors are averaged.
    """

    def __init__(self, recipe: Recipe, tiny: bool):
        self.source = tiny_source(12, classes=3, size=16) if tiny else tiny_source(1100, classes=2, size=32)
        sizes = {"ipc": 2, "real_batch": 8, "frequencies": 64} if tiny else {"frequencies": 512}
        self._values = recipe.distillation.model_copy(update={"sampling_network": True, **sizes})
        self._expected: dict[str, torch.Tensor] | None = None

    def open(self, engine: Engine, watch: Watch) -> Distiller:
        """Return what makes a step of this case."""
        settings = settings_of(self._values, self.source.info, True, engine.device.type)
        return Distiller(self.source, tiny_pool(self.source), settings, engine, watch)

    def expected(self, distiller: Distiller, frequencies: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the oracle's losses and gradients, which are the same in all number formats."""
        if self._expected is None:
            self._expected = run_oracle(distiller, self.source, frequencies)
        return self._expected


def pieces(lease: Lease, recipe: Recipe, engine: Engine, tiny: bool) -> list[Piece]:
    """The engine's own number format first."""
    compiled, case = "off" if tiny else "auto", Case(recipe, tiny)
    engines = {engine.precision: engine, "fp32": open_engine("fp32", compiled, Watch(lease))}
    # Others run uncompiled: what is asked of them is how they round.
    plain = open_engine("fp32", "off")
    halves = ("bf16",) if engine.device.type == "cpu" else ("bf16", "fp16") if has_bf16(engine.device) else ("fp16",)
    for name in ("tf32", *halves):
        engines.setdefault(name, replace(plain, precision=name))
    return [
        Piece("oracle", name, 60 if found.compiled else 20, lambda found=found: compare(lease, case, found))
        for name, found in engines.items()
    ]


def compare(lease: Lease, case: Case, engine: Engine) -> Figures:
    """Errors of loss and gradients of one step, as a run computes it: compiled, captured, drawn on the device."""
    distiller = case.open(engine, Watch(lease))
    settings = distiller.settings
    frequencies = normal_frequencies(settings.frequencies, distiller.dimension, 1.0, generator(0, "oracle"))
    mine, expected = run_units(distiller, frequencies), case.expected(distiller, frequencies)
    error = {name: float((mine[name] / expected[name] - 1).abs().max()) for name in ("ncfd", "cross_entropy")}
    ours, theirs = (
        float((NCFD_WEIGHT * some["ncfd"] + settings.calibration * some["cross_entropy"]).sum())
        for some in (mine, expected)
    )
    loss_error = ours / theirs - 1
    cosines = {name: oracle.cosine(mine[name], expected[name]) for name in ("pixels", "frequencies")}
    most, least = PROMISED[engine.precision]
    return {
        "loss_error": loss_error,
        "largest_error_of_a_class": error,
        "gradient_cosine": cosines,
        "promised": {"loss_error": most, "gradient_cosine": least},
        "holds": abs(loss_error) <= most and cosines["pixels"] >= least,
        "compiled": bool(engine.compiled),
    }


def run_units(distiller: Distiller, frequencies: torch.Tensor) -> dict[str, torch.Tensor]:
    """Losses and gradients of a step, repeated until they come from the captured graph; on the CPU."""
    engine, units = distiller.engine, distiller.units
    fixed, member = FixedTensors(engine.device), distiller.members[0]
    inputs = Inputs(
        fixed.number("number", STEP),
        None,
        units.network.placed(blend(member, 0.5)),
        units.network.placed(member[1]),
        frequencies.to(engine.device),
        None,
        [part.to(engine.device) for part in units.fetch(STEP)],
    )
    work = Repeated(lambda: units.results(distiller.stored, inputs), engine.device, distiller.progress)
    with engine.at_work():
        for _ in range(WARM_UP + 2):
            found = work()
    results = [found[unit] for unit in sorted(found)]
    return {
        "ncfd": torch.cat([one.ncfd for one in results]).cpu(),
        "cross_entropy": torch.cat([one.cross_entropy for one in results]).cpu(),
        "pixels": torch.cat([one.pixel_gradient for one in results]).cpu(),
        "frequencies": torch.stack([cast(torch.Tensor, one.frequency_gradient) for one in results]).sum(0).cpu(),
    }


def run_oracle(distiller: Distiller, source: Source, frequencies: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same step in float64, on the CPU with draws made there."""
    settings, pool, draws = distiller.settings, distiller.pool, distiller.units.draws.on_host()
    stored = [part.double().requires_grad_() for part in distiller.stored.detach().cpu().split(settings.ipc)]
    t, member = frequencies.double().requires_grad_(), pool.members[0]
    ncfd, entropy, objective = oracle.step(
        stored,
        [class_draw(draws, source, c) for c in range(len(stored))],
        t,
        blend(member, 0.5),
        member[1],
        pool.architecture.mean,
        pool.architecture.std,
        alpha=settings.alpha,
        calibration=settings.calibration,
        factor=settings.factor,
        normalize_features=settings.normalize_features,
    )
    *pixels, of_frequencies = torch.autograd.grad(objective, [*stored, t])
    return {
        "ncfd": torch.stack(ncfd).detach(),
        "cross_entropy": torch.stack(entropy).detach(),
        "pixels": torch.cat(pixels),
        "frequencies": of_frequencies,
    }


def class_draw(draws: Draws, source: Source, c: int) -> oracle.ClassDraw:
    def side(of: Augmentation) -> oracle.SideDraw:
        return oracle.SideDraw(of.affine, of.colour, of.cutout)

    real = source.train.images[draws.rows(STEP, [c])]
    return oracle.ClassDraw(real, *(side(one) for one in draws.sides(STEP, [c])))
