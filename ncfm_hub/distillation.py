"""The distillation loop: images descend the objective, the sampling network ascends it.

Units of work are runs of classes that do not depend on the number of processes. Every process computes some units,
gradients are exchanged, and every process then takes the same optimiser step on all images, so that 1, 2 or 3
processes give the same bits.
"""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch

from ncfm_hub._version import __version__
from ncfm_hub.checkpoints import load_checkpoint, save_checkpoint
from ncfm_hub.engine import Engine
from ncfm_hub.extractors.functional import FrozenNetwork
from ncfm_hub.extractors.networks import FeaturesAndLogits, build_network, normalise
from ncfm_hub.extractors.pool import Pool, blend
from ncfm_hub.matching.augment import Augmentation, draw_augmentation, draw_geometry, join
from ncfm_hub.matching.characteristic import ncfd_floor
from ncfm_hub.matching.frequencies import SamplingNetwork, make_sampling_network, normal_frequencies
from ncfm_hub.matching.schedule import pixel_rate
from ncfm_hub.matching.start import make_start
from ncfm_hub.matching.step import NCFD_WEIGHT, UnitDraw, UnitResult, unit_step
from ncfm_hub.progress import Progress, Silent
from ncfm_hub.randomness import generator
from ncfm_hub.sources.types import Source


@dataclass(frozen=True)
class DistillationSettings:
    """The values of a distillation, plain. Names as in `ncfm_hub.recipe.DistillationRecipe`."""

    ipc: int
    seed: int
    steps: int
    real_batch: int
    frequencies: int
    frequency_scale: float
    alpha: float
    normalize_features: bool
    factor: int
    optimizer: str
    lr: float
    weight_decay: float
    schedule: str
    calibration: float
    sampling_network: bool
    sampling_lr: float
    sampling_momentum: float
    flip: bool
    cutout: bool
    classes_at_once: int
    images_at_once: int


@dataclass
class Distillation:
    """A finished (or interrupted) distillation.

    start, stored: (C ipc, c, H, W) float32 in [0, 1], on the CPU, class after class: before and after
    curve: per step (300 NCFD, cross-entropy of the calibration), each a mean over classes
    """

    start: torch.Tensor
    stored: torch.Tensor
    curve: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0


def floor_of(real_batch: int, images_per_class: int) -> float:
    """300 NCFD that two samples of one distribution would have at these counts; read beside the loss."""
    return NCFD_WEIGHT * ncfd_floor(real_batch, images_per_class)


def choose_classes_at_once(classes: int, images_per_class: int, limit: int) -> int:
    """The largest divisor of `classes` whose decoded images stay within `limit`, so that all units have one shape."""
    return max(d for d in range(1, classes + 1) if classes % d == 0 and (d == 1 or d * images_per_class <= limit))


class Distiller:
    """Everything a step needs, prepared once."""

    def __init__(self, source: Source, pool: Pool, settings: DistillationSettings, engine: Engine):
        self.source, self.pool, self.settings, self.engine = source, pool, settings, engine
        self.classes = len(source.info.class_names)
        self.rows = source.class_indices()
        self.network = FrozenNetwork(build_network(pool.architecture), engine)
        self.dimension = self._feature_count()
        self.units = [
            range(first, min(first + settings.classes_at_once, self.classes))
            for first in range(0, self.classes, settings.classes_at_once)
        ]
        self.start = make_start(source, settings.ipc, settings.factor, settings.seed)
        self.stored = self.start.clone().to(engine.device).requires_grad_(True)
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
        # eps far below any gradient: the scale of the objective must not matter.
        self.optimizer = kind([self.stored], lr=settings.lr, weight_decay=settings.weight_decay, eps=1e-15)
        self.sampling: SamplingNetwork | None = None
        self.sampling_optimizer: torch.optim.Optimizer | None = None
        if settings.sampling_network:
            draws = generator(settings.seed, "sampling network")
            self.sampling = make_sampling_network(self.dimension, settings.frequency_scale, draws).to(engine.device)
            self.sampling_optimizer = torch.optim.SGD(
                self.sampling.parameters(), lr=settings.sampling_lr, momentum=settings.sampling_momentum
            )
        self.curve: list[tuple[float, float]] = []

    def step(self, number: int) -> tuple[float, float]:
        """Step `number`: update the images (and psi); returns 300 NCFD and cross-entropy, means over classes."""
        settings, device = self.settings, self.engine.device
        draws = generator(settings.seed, "step", number)
        member = self.pool.members[int(torch.randint(len(self.pool.members), (), generator=draws))]
        hybrid = self.network.bind(blend(member, float(torch.rand((), generator=draws))))
        trained = self.network.bind(member[1]) if settings.calibration > 0 else None
        frequencies = self._frequencies(draws)
        results: dict[int, UnitResult] = {}
        process, processes = self.engine.accelerator.process_index, self.engine.accelerator.num_processes
        for unit in range(process, len(self.units), processes):
            classes = self.units[unit]
            rows = slice(classes[0] * settings.ipc, (classes[-1] + 1) * settings.ipc)
            labels = torch.tensor(classes, device=device).repeat_interleave(settings.ipc * settings.factor**2)
            results[unit] = unit_step(
                self.stored[rows],
                labels,
                self._draw(number, classes),
                frequencies,
                hybrid,
                trained,
                lambda x: normalise(x, self.pool.architecture),
                classes=self.classes,
                alpha=settings.alpha,
                calibration=settings.calibration,
                factor=settings.factor,
                normalize_features=settings.normalize_features,
                images_at_once=settings.images_at_once,
                differentiate_frequencies=self.sampling is not None,
            )
        losses = self._exchange(results, frequencies)
        self._descend(number)
        self.curve.append(losses)
        return losses

    def _draw(self, number: int, classes: range) -> UnitDraw:
        settings = self.settings
        size = (self.source.info.resolution, self.source.info.resolution)
        images: list[torch.Tensor] = []
        sizes: list[int] = []
        of_real: list[Augmentation] = []
        of_synthetic: list[Augmentation] = []
        for c in classes:
            draws = generator(settings.seed, "class step", number, c)
            geometry = draw_geometry(draws)
            chosen = self.rows[c][torch.randperm(len(self.rows[c]), generator=draws)[: settings.real_batch]]
            images.append(self.source.train.images[chosen])
            sizes.append(len(chosen))
            for parts, count in ((of_real, len(chosen)), (of_synthetic, settings.ipc * settings.factor**2)):
                draw = draw_augmentation(
                    count, size, draws, geometry=geometry, flip=settings.flip, cutout=settings.cutout
                )
                parts.append(draw)
        device = self.engine.device
        return UnitDraw(
            torch.cat(images).to(device), tuple(sizes), join(of_real).to(device), join(of_synthetic).to(device)
        )

    def _frequencies(self, draws: torch.Generator) -> torch.Tensor:
        settings, device = self.settings, self.engine.device
        if self.sampling is None:
            found = normal_frequencies(settings.frequencies, self.dimension, settings.frequency_scale, draws)
            return found.to(device)
        noise, eps = self.sampling.draw(settings.frequencies, draws)
        return self.sampling(noise.to(device), eps.to(device))

    def _feature_count(self) -> int:
        architecture = self.pool.architecture
        blank = torch.zeros(
            1, architecture.channels, architecture.resolution, architecture.resolution, device=self.engine.device
        )
        network = FeaturesAndLogits(build_network(architecture)).to(self.engine.device).eval()
        with torch.no_grad():
            return int(network(blank)[0].shape[1])

    def _exchange(self, results: dict[int, UnitResult], frequencies: torch.Tensor) -> tuple[float, float]:
        """Share the units' results among processes; leave gradients on images and psi; return the mean losses."""
        settings, device, accelerator = self.settings, self.engine.device, self.engine.accelerator
        gradient = torch.zeros_like(self.stored)
        losses = torch.zeros(2, self.classes, device=device)
        for unit, result in results.items():
            classes = self.units[unit]
            gradient[classes[0] * settings.ipc : (classes[-1] + 1) * settings.ipc] = result.pixel_gradient
            losses[0, classes[0] : classes[-1] + 1] = NCFD_WEIGHT * result.ncfd
            losses[1, classes[0] : classes[-1] + 1] = result.cross_entropy
        if accelerator.num_processes > 1:
            # Each row has one writer and zeros elsewhere, so sums are exact.
            gradient, losses = accelerator.reduce(gradient), accelerator.reduce(losses)
        self.stored.grad = gradient
        if self.sampling is not None:
            self._exchange_sampling(results, frequencies)
        ncfd, entropy = losses.double().mean(1).tolist()
        return ncfd, entropy

    def _exchange_sampling(self, results: dict[int, UnitResult], frequencies: torch.Tensor) -> None:
        """psi's gradient: per unit, then summed in unit order, then negated (psi ascends)."""
        assert self.sampling is not None
        parameters = list(self.sampling.parameters())
        per_unit = torch.zeros(len(self.units), sum(p.numel() for p in parameters), device=self.engine.device)
        for unit, result in results.items():
            parts = torch.autograd.grad(frequencies, parameters, result.frequency_gradient, retain_graph=True)
            per_unit[unit] = torch.cat([part.flatten() for part in parts])
        if self.engine.accelerator.num_processes > 1:
            per_unit = self.engine.accelerator.reduce(per_unit)
        total = per_unit[0].clone()
        for other in per_unit[1:]:
            total += other
        for parameter, part in zip(parameters, total.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = -part.reshape(parameter.shape)

    def _descend(self, number: int) -> None:
        rate = pixel_rate(self.settings.schedule, self.settings.lr, number, self.settings.steps, self.curve)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.sampling_optimizer is not None:
            self.sampling_optimizer.step()
        with torch.no_grad():
            self.stored.clamp_(0, 1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that changes from step to step."""
        found = {"stored": self.stored, "curve": torch.tensor(self.curve, dtype=torch.float64).reshape(-1, 2)}
        for name, value in self.optimizer.state_dict()["state"].get(0, {}).items():
            found[f"optimizer.{name}"] = value
        if self.sampling is not None and self.sampling_optimizer is not None:
            found |= {f"sampling.{name}": value for name, value in self.sampling.state_dict().items()}
            for index, state in self.sampling_optimizer.state_dict()["state"].items():
                found |= {
                    f"sampling_optimizer.{index}.{name}": value for name, value in state.items() if value is not None
                }
        return found

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `tensors`."""
        device = self.engine.device
        with torch.no_grad():
            self.stored.copy_(tensors["stored"])
        self.curve = [(row[0], row[1]) for row in tensors["curve"].tolist()]
        _restore_optimizer(self.optimizer, {0: _under(tensors, "optimizer.")})
        if self.sampling is not None and self.sampling_optimizer is not None:
            self.sampling.load_state_dict(
                {name: value.to(device) for name, value in _under(tensors, "sampling.").items()}
            )
            count = len(list(self.sampling.parameters()))
            states = {index: _under(tensors, f"sampling_optimizer.{index}.") for index in range(count)}
            _restore_optimizer(self.sampling_optimizer, {index: state for index, state in states.items() if state})


def distill_images(
    source: Source,
    pool: Pool,
    settings: DistillationSettings,
    engine: Engine,
    checkpoint: Path | None = None,
    checkpoint_every: int = 50,
    resume: bool = False,
    progress: Progress | None = None,
) -> Distillation:
    """Distill: (C ipc) stored images by NCFM.

    checkpoint: file that holds the state every `checkpoint_every` steps; resume: go on from it if it exists.
    Raises CheckpointError if it was made under other settings.
    """
    progress = progress or Silent()
    distiller = Distiller(source, pool, settings, engine)
    shared = checkpoint_settings(source, pool, settings, engine)
    done, before = 0, 0.0
    if resume and checkpoint is not None and checkpoint.is_file():
        tensors, done, before = load_checkpoint(checkpoint, shared)
        distiller.restore(tensors)
        progress.note(f"going on from step {done} of {settings.steps}")
    began = time.perf_counter() - before  # a resumed run took as long as all its parts
    with progress.bar(settings.steps, "distilling", done) as bar:
        for number in range(done, settings.steps):
            ncfd, entropy = distiller.step(number)
            bar.advance(loss=ncfd + settings.calibration * entropy, ncfd=ncfd)
            due = (number + 1) % checkpoint_every == 0 or number + 1 == settings.steps
            if due and checkpoint is not None and engine.accelerator.is_main_process:
                spent = time.perf_counter() - began
                save_checkpoint(checkpoint, distiller.tensors(), number + 1, spent, shared)
    stored = distiller.stored.detach().cpu()
    return Distillation(distiller.start, stored, distiller.curve, time.perf_counter() - began)


def checkpoint_settings(source: Source, pool: Pool, settings: DistillationSettings, engine: Engine) -> dict[str, Any]:
    """What two runs must share for their images to be bit-identical."""
    return {
        "distillation": asdict(settings),
        "source": source.fingerprint,
        "pool": pool.key,
        "versions": {"ncfm_hub": __version__, "torch": torch.__version__, "timm": timm.__version__},
        "device": engine.device.type,
        "precision": engine.precision,
        "compile": engine.compiled,
        "threads": torch.get_num_threads(),
    }


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, torch.Tensor]]) -> None:
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
