"""One step of distillation: images descend the objective, the sampling network ascends it.

Units of work are groups of classes that do not depend on the number of processes. Each process computes some units,
gradients are exchanged, and every process takes the same optimiser step on all images, so that 1, 2 or 3 processes give
the same bits.
"""

from typing import Any

import timm
import torch

from ncfm_hub._version import __version__
from ncfm_hub.distillation.bank import Bank
from ncfm_hub.distillation.draws import Draws
from ncfm_hub.distillation.settings import DistillationSettings
from ncfm_hub.distillation.start import make_start
from ncfm_hub.extractors.pool import Pool, blend
from ncfm_hub.machine.engine import Engine
from ncfm_hub.matching.frequencies import SamplingNetwork, make_sampling_network, normal_frequencies
from ncfm_hub.matching.objective import make_objective
from ncfm_hub.matching.schedule import pixel_rate
from ncfm_hub.matching.step import (
    NCFD_WEIGHT,
    Network,
    StepSettings,
    UnitDraw,
    UnitResult,
    real_statistics,
    unit_step,
)
from ncfm_hub.networks.build import FeaturesAndLogits, Weights, build_network, normalise
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.progress import Progress, Silent
from ncfm_hub.utils.seeding import generator


class Distiller:
    """Everything a step needs, prepared once."""

    def __init__(
        self,
        source: Source,
        pool: Pool,
        settings: DistillationSettings,
        engine: Engine,
        progress: Progress | None = None,
    ):
        if settings.sampling_network and (settings.bank or settings.matching != "characteristic"):
            raise ValueError(
                "the sampling network learns frequencies: it works with neither a bank nor distribution matching"
            )
        self.source, self.pool, self.settings, self.engine = source, pool, settings, engine
        self.classes = len(source.info.class_names)
        self.outputs = torch.tensor(pool.positions(source.info.class_names))
        self.of_a_step = StepSettings(
            make_objective(settings.matching, settings.alpha),
            self._normalise,
            # The pool's number, not the source's, so that a class's gradient does not depend on the other classes.
            classes=pool.architecture.classes,
            calibration=settings.calibration,
            factor=settings.factor,
            normalize_features=settings.normalize_features,
            images_at_once=settings.images_at_once,
            ascends=settings.sampling_objective if settings.sampling_network else None,
        )
        self.draws = self._draws("", settings.seed)
        self.network = FrozenNetwork(build_network(pool.architecture), engine)
        self.dimension = self._feature_count()
        self.units = [
            range(first, min(first + settings.classes_at_once, self.classes))
            for first in range(0, self.classes, settings.classes_at_once)
        ]
        self.start = make_start(source, settings.ipc, settings.factor, settings.seed)
        self.stored = self.start.clone().to(engine.device).requires_grad_(True)
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
        # eps far below any gradient, so that the scale of the objective does not matter.
        self.optimizer = kind([self.stored], lr=settings.lr, weight_decay=settings.weight_decay, eps=1e-15)
        self.sampling: SamplingNetwork | None = None
        self.sampling_optimizer: torch.optim.Optimizer | None = None
        if settings.sampling_network:
            draws = generator(settings.seed, "sampling network")
            self.sampling = make_sampling_network(self.dimension, settings.frequency_scale, draws).to(engine.device)
            self.sampling_optimizer = torch.optim.SGD(
                self.sampling.parameters(), lr=settings.sampling_lr, momentum=settings.sampling_momentum
            )
        self.bank: Bank | None = None
        if settings.bank:
            self.bank_draws = self._draws("bank ", settings.bank_seed)
            self.bank = Bank(settings.bank, settings.bank_seed, self._bank_made_of(), engine)
            self.bank.fill(settings.steps, settings.seed, self._bank_statistics, progress or Silent())
        self.curve: list[tuple[float, float]] = []

    def step(self, number: int) -> tuple[float, float]:
        """Run step `number`: update the images (and psi). Returns 300 NCFD and cross-entropy, means over classes."""
        settings, device = self.settings, self.engine.device
        entry = self.bank.entry(settings.seed, number) if self.bank else None
        shared = self.draws.shared(number) if entry is None else self.bank_draws.shared(entry)
        member, weights = self._hybrid(shared)
        hybrids = (self.network.bind(weights), self.network.bind(weights, full_precision=True))
        trained = self.network.bind(member[1], full_precision=True) if settings.calibration > 0 else None
        frequencies = self._frequencies(shared)
        known = self.bank.statistics(entry) if self.bank and entry is not None else None
        results: dict[int, UnitResult] = {}
        process, processes = self.engine.accelerator.process_index, self.engine.accelerator.num_processes
        for unit in range(process, len(self.units), processes):
            classes = self.units[unit]
            rows = slice(classes[0] * settings.ipc, (classes[-1] + 1) * settings.ipc)
            labels = self.outputs[list(classes)].to(device).repeat_interleave(settings.ipc * settings.factor**2)
            results[unit] = unit_step(
                self.stored[rows],
                labels,
                self._draw(number, classes, entry),
                frequencies,
                hybrids,
                trained,
                self.of_a_step,
                None if known is None else known[classes[0] : classes[-1] + 1],
            )
        losses = self._exchange(results, frequencies)
        self._descend(number)
        self.curve.append(losses)
        return losses

    def _draws(self, whose: str, seed: int) -> Draws:
        settings = self.settings
        return Draws(
            self.source,
            whose,
            seed,
            real_batch=settings.real_batch,
            synthetic=settings.ipc * settings.factor**2,
            flip=settings.flip,
            cutout=settings.cutout,
        )

    def _draw(self, number: int, classes: range, entry: int | None) -> UnitDraw:
        if entry is None:
            return self.draws.unit(number, classes).to(self.engine.device)
        found = self.draws.synthetic_unit(number, classes, lambda c: self.bank_draws.geometry(entry, c))
        return found.to(self.engine.device)

    def _hybrid(self, draws: torch.Generator) -> tuple[tuple[Weights, Weights], Weights]:
        """Sample a pair of the pool and its blend with beta ~ U(0, 1)."""
        member = self.pool.members[int(torch.randint(len(self.pool.members), (), generator=draws))]
        return member, blend(member, float(torch.rand((), generator=draws)))

    def _frequencies(self, draws: torch.Generator) -> torch.Tensor:
        settings, device = self.settings, self.engine.device
        if self.sampling is None:
            found = normal_frequencies(
                settings.frequencies, self.dimension, settings.frequency_scale, draws, settings.orthogonal
            )
            return found.to(device)
        noise, eps = self.sampling.draw(settings.frequencies, draws, settings.orthogonal)
        return self.sampling(noise.to(device), eps.to(device))

    def _normalise(self, images: torch.Tensor) -> torch.Tensor:
        return normalise(images, self.pool.architecture)

    def _bank_statistics(self, entry: int) -> torch.Tensor:
        """Compute the statistics of all classes (C, S) in one entry of the bank."""
        draws = self.bank_draws.shared(entry)
        hybrid: Network = self.network.bind(self._hybrid(draws)[1])
        frequencies = self._frequencies(draws)
        units = (self.bank_draws.unit(entry, [c]).to(self.engine.device) for c in range(self.classes))
        return torch.cat([real_statistics(unit, frequencies, hybrid, self.of_a_step) for unit in units])

    def _bank_made_of(self) -> dict[str, Any]:
        """Return everything that a bank's statistics depend on, except its seed and number of entries."""
        names = {"real_batch", "frequencies", "frequency_scale", "orthogonal", "matching", "normalize_features"}
        conditions = conditions_of(self.source, self.pool, self.engine)
        # The key identifies how a pool was made; pools made alike on two machines differ in their last bits.
        conditions["pool"] = self.pool.digest
        return self.settings.model_dump(include=names | {"flip", "cutout", "images_at_once"}) | conditions

    def _feature_count(self) -> int:
        architecture = self.pool.architecture
        blank = torch.zeros(
            1, architecture.channels, architecture.resolution, architecture.resolution, device=self.engine.device
        )
        network = FeaturesAndLogits(build_network(architecture)).to(self.engine.device).eval()
        with torch.no_grad():
            return int(network(blank)[0].shape[1])

    def _exchange(self, results: dict[int, UnitResult], frequencies: torch.Tensor) -> tuple[float, float]:
        """Exchange the units' results among processes; sets gradients of images and psi, returns the mean losses."""
        settings, device, accelerator = self.settings, self.engine.device, self.engine.accelerator
        gradient = torch.zeros_like(self.stored)
        losses = torch.zeros(2, self.classes, device=device)
        for unit, result in results.items():
            classes = self.units[unit]
            gradient[classes[0] * settings.ipc : (classes[-1] + 1) * settings.ipc] = result.pixel_gradient
            losses[0, classes[0] : classes[-1] + 1] = NCFD_WEIGHT * result.ncfd
            losses[1, classes[0] : classes[-1] + 1] = result.cross_entropy
        if accelerator.num_processes > 1:
            # Each row is written by one process and zero elsewhere, so sums are exact.
            gradient, losses = accelerator.reduce(gradient), accelerator.reduce(losses)
        self.stored.grad = gradient
        if self.sampling is not None:
            self._exchange_sampling(results, frequencies)
        ncfd, entropy = losses.double().mean(1).tolist()
        return ncfd, entropy

    def _exchange_sampling(self, results: dict[int, UnitResult], frequencies: torch.Tensor) -> None:
        """Set psi's gradient: per unit, summed in unit order, then negated (psi ascends)."""
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
        """Return everything that changes from step to step."""
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
        """Restore the state returned by `tensors`."""
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


def conditions_of(source: Source, pool: Pool, engine: Engine) -> dict[str, Any]:
    """Return what the bits of a step depend on besides its settings."""
    return {
        "source": source.fingerprint,
        "pool": pool.key,
        "versions": {"ncfm_hub": __version__, "torch": torch.__version__, "timm": timm.__version__},
        "device": engine.device.type,
        "precision": engine.precision,
        "compile": engine.compiled,
        "native": engine.native,
        "threads": torch.get_num_threads(),
    }


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, torch.Tensor]]) -> None:
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
