"""The work of a step that runs on the device: draws, real images, and losses and gradients of each unit of classes.

It reads tensors that keep their address (`FixedTensors`), so that a GPU can capture it once and replay it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from ncfm_hub.distillation.draws import Draws, Number
from ncfm_hub.distillation.settings import DistillationSettings
from ncfm_hub.extractors.pool import Pool
from ncfm_hub.machine.engine import Engine
from ncfm_hub.machine.kernels import characteristic as native
from ncfm_hub.machine.placement import Fetched, fits
from ncfm_hub.matching.characteristic import characteristic_function
from ncfm_hub.matching.objective import Objective, make_objective
from ncfm_hub.matching.step import StepSettings, UnitDraw, UnitResult, real_statistics, unit_step
from ncfm_hub.networks.build import Weights, build_network, normaliser
from ncfm_hub.networks.capacity import Footprint, footprint, images_at_once
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.recipes.schema import DistillationRecipe
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.progress import Progress


@dataclass(frozen=True)
class Inputs:
    """What a step gives to all of its units.

    number: of the step; entry: of the bank, or None
    hybrid, trained: weights; known: statistics of the bank's entry (C, S), in place of the real side
    fetched: real images of each unit, where they do not lie on the device
    """

    number: Number
    entry: Number | None
    hybrid: Weights
    trained: Weights | None
    frequencies: torch.Tensor
    known: torch.Tensor | None
    fetched: Sequence[torch.Tensor]


class Units:
    """The units that this process computes, and how.

    draws: of the run; bank_draws: of its bank
    """

    def __init__(
        self,
        source: Source,
        pool: Pool,
        settings: DistillationSettings,
        engine: Engine,
        draws: Draws,
        bank_draws: Draws | None,
        progress: Progress,
    ):
        self.settings, self.engine, self.draws, self.bank_draws = settings, engine, draws, bank_draws
        architecture, classes = pool.architecture, len(source.info.class_names)
        normalised = normaliser(architecture, engine.device)
        self.of_a_step = StepSettings(
            objective_on(engine, settings),
            normalised,
            # The pool's number, not the source's, so that a class's gradient does not depend on the other classes.
            classes=architecture.classes,
            calibration=settings.calibration,
            factor=settings.factor,
            normalize_features=settings.normalize_features,
            images_at_once=settings.images_at_once,
            decoded_at_once=settings.decoded_at_once,
            ascends=settings.sampling_objective if settings.sampling_network else None,
        )
        network = build_network(architecture)
        if engine.device.type == "cuda":
            self._fit(footprint(network, (architecture.channels, architecture.resolution, architecture.resolution)))
        self.network = FrozenNetwork(network, engine, normalised)
        self.all = [
            range(first, min(first + settings.classes_at_once, classes))
            for first in range(0, classes, settings.classes_at_once)
        ]
        process, processes = engine.accelerator.process_index, engine.accelerator.num_processes
        self.mine = range(process, len(self.all), processes)
        outputs = torch.tensor(pool.positions(source.info.class_names), device=engine.device)
        self._labels = [
            outputs[unit.start : unit.stop].repeat_interleave(settings.ipc * settings.factor**2) for unit in self.all
        ]
        self._images = Images(
            source.train.images, draws, [self.all[unit] for unit in self.mine], engine.device, progress
        )

    def fetch(self, number: int) -> list[torch.Tensor]:
        """Return the real images of this process's units in a step, where they do not lie on the device."""
        return self._images.fetch(number)

    def results(self, stored: torch.Tensor, inputs: Inputs) -> dict[int, UnitResult]:
        """Compute the units of this process.

        stored: (C ipc, c, H, W)
        """
        of_real = self.network.bind_real(inputs.hybrid)
        of_synthetic = self.network.bind(inputs.hybrid, full_precision=True)
        trained = None if inputs.trained is None else self.network.bind(inputs.trained, full_precision=True)
        found = {}
        for place, unit in enumerate(self.mine):
            classes, ipc = self.all[unit], self.settings.ipc
            found[unit] = unit_step(
                stored[classes.start * ipc : classes.stop * ipc],
                self._labels[unit],
                self._draw(place, classes, inputs),
                inputs.frequencies,
                (of_real, of_synthetic),
                trained,
                self.of_a_step,
                None if inputs.known is None else inputs.known[classes.start : classes.stop],
            )
        return found

    def statistics(self, entry: int, hybrid: Weights, frequencies: torch.Tensor) -> torch.Tensor:
        """Compute the statistics of all classes (C, S) in one entry of the bank."""
        assert self.bank_draws is not None
        of_real, found = self.network.bind_real(hybrid), []
        number = torch.tensor(entry, device=self.engine.device)  # a number would be compiled anew for each entry
        for c in range(self.all[-1].stop):
            draws = self.bank_draws
            real = self._images.at(draws.rows(number, [c]))
            augmentation = draws.real(number, [c], draws.geometry(number, [c]))
            draw = UnitDraw(real, draws.sizes([c]), augmentation, augmentation[:0])
            found.append(real_statistics(draw, frequencies, of_real, self.of_a_step))
        return torch.cat(found)

    def _fit(self, one: Footprint) -> None:
        """Limit the passes to what the free memory of the GPU holds."""
        sizes, device = self.of_a_step, self.engine.device
        self.of_a_step = replace(
            sizes,
            images_at_once=images_at_once(one, sizes.images_at_once, device),
            decoded_at_once=images_at_once(one, sizes.decoded_at_once, device),
        )

    def halve(self) -> bool:
        """Halve the passes, which takes less memory; returns False if they are of one image already."""
        sizes = self.of_a_step.images_at_once, self.of_a_step.decoded_at_once
        if max(sizes) == 1:
            return False
        real, decoded = (max(1, size // 2) for size in sizes)
        self.of_a_step = replace(self.of_a_step, images_at_once=real, decoded_at_once=decoded)
        return True

    def _draw(self, place: int, classes: range, inputs: Inputs) -> UnitDraw:
        draws, number = self.draws, inputs.number
        if inputs.entry is None:
            images = self._images.of_unit(place, number, inputs.fetched)
            return UnitDraw(images, draws.sizes(classes), *draws.sides(number, classes))
        assert self.bank_draws is not None
        decoded = draws.decoded(number, classes, self.bank_draws.geometry(inputs.entry, classes))
        return UnitDraw(self._images.at(slice(0)), (0,) * len(classes), decoded[:0], decoded)


class Images:
    """The real images of each unit: on the device where all fit, else fetched from the main memory a step ahead."""

    def __init__(
        self, images: torch.Tensor, draws: Draws, units: Sequence[range], device: torch.device, progress: Progress
    ):
        self._draws, self._units, self._device = draws, units, device
        self._fetched: list[Fetched] = []
        if fits([images], device):
            images = images.to(device)
        else:
            progress.note(f"the source's {images.nbytes / 1e9:.1f} GB of images stay in the main memory")
            # What is chosen on the host is what would be chosen on the device: the integers are the same.
            host = draws.on_host()
            choosing = [partial(host.rows, classes=classes) for classes in units]
            self._fetched = [Fetched(images, choose, device, progress) for choose in choosing]
        self._images = images

    def fetch(self, number: int) -> list[torch.Tensor]:
        """Return the images of each unit in a step, or nothing if they lie on the device."""
        return [fetched.rows(number) for fetched in self._fetched]

    def of_unit(self, place: int, number: Number, fetched: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the images of a unit (N, c, H, W), uint8 on the device."""
        return fetched[place] if fetched else self._images[self._draws.rows(number, self._units[place])]

    def at(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the images at these rows, on the device."""
        rows = rows.to(self._images.device) if isinstance(rows, torch.Tensor) else rows
        return self._images[rows].to(self._device)


def objective_on(engine: Engine, recipe: DistillationRecipe) -> Objective:
    """Return a recipe's objective in the form that is fastest on this machine."""
    fast = native.fast_characteristic_function if engine.native else characteristic_function
    objective = make_objective(recipe.matching, recipe.alpha, fast)
    return _Fused(engine.fuse(objective.statistics), objective.distance) if engine.fuses else objective


@dataclass(frozen=True)
class _Fused:
    """An objective whose statistics are compiled as one."""

    statistics: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
