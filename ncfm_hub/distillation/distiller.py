"""One step of distillation: images descend the objective, the sampling network ascends it.

Units of work are groups of classes that do not depend on the number of processes. Each process computes some units,
gradients are exchanged, and every process takes the same optimiser step on all images, so that 1, 2 or 3 processes give
the same bits.
"""

from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from ncfm_hub.distillation.bank import Bank
from ncfm_hub.distillation.conditions import conditions_of
from ncfm_hub.distillation.draws import Draws
from ncfm_hub.distillation.settings import DistillationSettings
from ncfm_hub.distillation.start import make_start
from ncfm_hub.distillation.units import Inputs, Units
from ncfm_hub.extractors.pool import Pool, blend
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.graphs import FixedTensors, Repeated
from ncfm_hub.machine.placement import fits
from ncfm_hub.matching.frequencies import SamplingNetwork, make_sampling_network, normal_frequencies
from ncfm_hub.matching.schedule import PLATEAU_WINDOW, pixel_rate
from ncfm_hub.matching.step import NCFD_WEIGHT, UnitResult
from ncfm_hub.networks.build import FeaturesAndLogits, Weights, build_network
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.progress import Progress, Silent
from ncfm_hub.utils.seeding import generator, on_device


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
        self.progress = progress or Silent()
        self.classes = len(source.info.class_names)
        self.dimension = self._feature_count()
        self.bank_draws = self._draws("bank ", settings.bank_seed) if settings.bank else None
        self.units = Units(
            source, pool, settings, engine, self._draws("", settings.seed), self.bank_draws, self.progress
        )
        self.members = self._placed_members()
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
            self.bank = Bank(settings.bank, settings.bank_seed, self._bank_made_of(), engine)
            self.bank.fill(settings.steps, settings.seed, self._bank_statistics, self.progress)
        self._losses: list[torch.Tensor] = []  # of each step, on the device
        self._plateau_rate: float | None = None  # of the present window of steps
        self._fixed = FixedTensors(engine.device)
        self._inputs: Inputs | None = None
        self._work = Repeated(self._compute, engine.device, self.progress)

    def step(self, number: int) -> torch.Tensor:
        """Run step `number`: update the images (and psi).

        Returns 300 NCFD and cross-entropy, means over classes: float64 (2,) on the device, which reading waits for.
        """
        with self.engine.at_work():
            entry = self.bank.entry(self.settings.seed, number) if self.bank else None
            frequencies = self._prepare(number, entry)
            results = self._results()
            losses = self._exchange(results, frequencies)
            self._losses.append(losses)
            self._descend(number)
        return losses

    @property
    def curve(self) -> list[tuple[float, float]]:
        """300 NCFD and cross-entropy of each step done, means over classes."""
        return [(row[0], row[1]) for row in self._curve().tolist()]

    def _curve(self) -> torch.Tensor:
        return torch.stack(self._losses) if self._losses else torch.empty(0, 2, dtype=torch.float64)

    def of_entry(self, entry: int) -> torch.Generator:
        """Return the generator for what all classes share in an entry of the bank: hybrid extractor and frequencies."""
        return generator(self.settings.bank_seed, "bank step", entry)

    def _prepare(self, number: int, entry: int | None) -> torch.Tensor:
        """Sample what the classes of a step share and put it where the work reads it; returns the frequencies."""
        settings, fixed = self.settings, self._fixed
        shared = generator(settings.seed, "step", number) if entry is None else self.of_entry(entry)
        member, weights = self._hybrid(shared)
        frequencies = self._frequencies(shared)
        known = self.bank.statistics(entry) if self.bank and entry is not None else None
        self._inputs = Inputs(
            fixed.number("number", number),
            None if entry is None else fixed.number("entry", entry),
            {name: fixed.put(f"hybrid {name}", value) for name, value in weights.items()},
            {name: fixed.put(f"trained {name}", value) for name, value in member[1].items()}
            if settings.calibration > 0
            else None,
            fixed.put("frequencies", frequencies.detach()),
            None if known is None else fixed.put("known", known),
            [fixed.put(f"images {place}", images) for place, images in enumerate(self.units.fetch(number))],
        )
        return frequencies

    def _compute(self) -> dict[int, UnitResult]:
        assert self._inputs is not None
        return self.units.results(self.stored, self._inputs)

    def _results(self) -> dict[int, UnitResult]:
        """Compute this process's units, in smaller passes if the memory is too small for the present ones."""
        while True:
            try:
                return self._work()
            except RuntimeError as error:
                if not should_reduce_batch_size(error) or not self.units.halve():
                    raise
            sizes = self.units.of_a_step
            self.progress.note(
                f"out of memory: going on with {sizes.images_at_once} real and {sizes.decoded_at_once} decoded images "
                "at once"
            )
            self._work.forget()
            clear_device_cache(garbage_collection=True)

    def _draws(self, whose: str, seed: int) -> Draws:
        settings = self.settings
        return Draws(
            self.source,
            whose,
            seed,
            self.engine.device,
            real_batch=settings.real_batch,
            synthetic=settings.ipc * settings.factor**2,
            flip=settings.flip,
            cutout=settings.cutout,
            fuse=self.engine.fuse,
        )

    def _placed_members(self) -> tuple[tuple[Weights, Weights], ...]:
        """Return the pool's weights, on the device if all of them fit there."""
        members = self.pool.members
        if not fits(
            [tensor for pair in members for weights in pair for tensor in weights.values()], self.engine.device
        ):
            return members
        place = self.units.network.placed
        return tuple((place(init), place(trained)) for init, trained in members)

    def _hybrid(self, draws: torch.Generator) -> tuple[tuple[Weights, Weights], Weights]:
        """Sample a pair of the pool and its blend with beta ~ U(0, 1)."""
        member = self.members[int(torch.randint(len(self.members), (), generator=draws))]
        return member, blend(member, float(torch.rand((), generator=draws)))

    def _frequencies(self, draws: torch.Generator) -> torch.Tensor:
        """Sample frequencies (F, D) on the device, from a generator of its own kind seeded by `draws`."""
        settings, device = self.settings, self.engine.device
        draws = on_device(draws, device)
        if self.sampling is None:
            return normal_frequencies(
                settings.frequencies, self.dimension, settings.frequency_scale, draws, settings.orthogonal
            )
        noise, eps = self.sampling.draw(settings.frequencies, draws, settings.orthogonal)
        return self.sampling(noise, eps)

    def _bank_statistics(self, entry: int) -> torch.Tensor:
        """Compute the statistics of all classes (C, S) in one entry of the bank."""
        draws = self.of_entry(entry)
        with self.engine.at_work():
            hybrid = self._hybrid(draws)[1]
            return self.units.statistics(entry, hybrid, self._frequencies(draws))

    def _bank_made_of(self) -> dict[str, Any]:
        """Return everything that a bank's statistics depend on, except its seed and number of entries."""
        names = {"real_batch", "frequencies", "frequency_scale", "orthogonal", "matching", "normalize_features"}
        conditions = conditions_of(self.source, self.pool, self.engine)
        # The key identifies how a pool was made; pools made alike on two machines differ in their last bits.
        conditions["pool"] = self.pool.digest
        return self.settings.model_dump(include=names | {"flip", "cutout", "images_at_once"}) | conditions

    def _feature_count(self) -> int:
        architecture = self.pool.architecture
        blank = torch.zeros(1, architecture.channels, architecture.resolution, architecture.resolution)
        network = FeaturesAndLogits(build_network(architecture)).eval()
        with torch.no_grad():
            return int(network(blank)[0].shape[1])

    def _exchange(self, results: dict[int, UnitResult], frequencies: torch.Tensor) -> torch.Tensor:
        """Exchange the units' results among processes; sets gradients of images and psi, returns the mean losses."""
        settings, device, accelerator = self.settings, self.engine.device, self.engine.accelerator
        gradient = torch.zeros_like(self.stored)
        losses = torch.zeros(2, self.classes, device=device)
        for unit, result in results.items():
            classes = self.units.all[unit]
            gradient[classes.start * settings.ipc : classes.stop * settings.ipc] = result.pixel_gradient
            losses[0, classes.start : classes.stop] = NCFD_WEIGHT * result.ncfd
            losses[1, classes.start : classes.stop] = result.cross_entropy
        if accelerator.num_processes > 1:
            # Each row is written by one process and zero elsewhere, so sums are exact.
            gradient, losses = accelerator.reduce(gradient), accelerator.reduce(losses)
        self.stored.grad = gradient
        if self.sampling is not None:
            self._exchange_sampling(results, frequencies)
        return losses.double().mean(1)

    def _exchange_sampling(self, results: dict[int, UnitResult], frequencies: torch.Tensor) -> None:
        """Set psi's gradient: per unit, summed in unit order, then negated (psi ascends)."""
        assert self.sampling is not None
        parameters = list(self.sampling.parameters())
        per_unit = torch.zeros(len(self.units.all), sum(p.numel() for p in parameters), device=self.engine.device)
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
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(number)
        self.optimizer.step()
        if self.sampling_optimizer is not None:
            self.sampling_optimizer.step()
        with torch.no_grad():
            self.stored.clamp_(0, 1)

    def _rate(self, number: int) -> float:
        """Return the learning rate of the images; losses are read only where a schedule asks for them."""
        settings = self.settings
        if settings.schedule != "plateau":
            return pixel_rate(settings.schedule, settings.lr, number, settings.steps, [])
        if self._plateau_rate is None or number % PLATEAU_WINDOW == 0:
            self._plateau_rate = pixel_rate(settings.schedule, settings.lr, number, settings.steps, self.curve)
        return self._plateau_rate

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return everything that changes from step to step."""
        found = {"stored": self.stored, "curve": self._curve()}
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
        self._losses = list(tensors["curve"].to(device))
        _restore_optimizer(self.optimizer, {0: _under(tensors, "optimizer.")})
        if self.sampling is not None and self.sampling_optimizer is not None:
            self.sampling.load_state_dict(
                {name: value.to(device) for name, value in _under(tensors, "sampling.").items()}
            )
            count = len(list(self.sampling.parameters()))
            states = {index: _under(tensors, f"sampling_optimizer.{index}.") for index in range(count)}
            _restore_optimizer(self.sampling_optimizer, {index: state for index, state in states.items() if state})


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, torch.Tensor]]) -> None:
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
