"""Images a second on this machine, measured by doing the work of a run on random images with fresh weights.

Nothing is compiled or built for it: where a run will do so, a rate is multiplied by what that is known to bring. Each
rate is measured once in a process.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from accelerate.utils.memory import clear_device_cache

from ncfm_hub.distillation.settings import choose_classes_at_once
from ncfm_hub.distillation.units import objective_on
from ncfm_hub.machine.engine import Engine, images_within
from ncfm_hub.machine.kernels.available import native_built
from ncfm_hub.matching.augment import GEOMETRIES, Augmentation, augment, draw_augmentation
from ncfm_hub.matching.frequencies import normal_frequencies
from ncfm_hub.matching.philox import Stream, key_of
from ncfm_hub.matching.step import StepSettings, UnitDraw, real_features, unit_step
from ncfm_hub.networks.build import Architecture, FeaturesAndLogits, build_network, normalise
from ncfm_hub.networks.capacity import networks_at_once
from ncfm_hub.networks.convnet import ConvNet
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.networks.stacked import TogetherTrainer
from ncfm_hub.networks.trainer import Batch, Trainer, make_optimizer
from ncfm_hub.planning.timing import seconds_a_call
from ncfm_hub.recipes.schema import DistillationRecipe
from ncfm_hub.utils.progress import Silent

# At 32 px, at most. A GPU is only full with many; on a CPU a step of passes of 128 takes 3 to 9 % less than it says.
IMAGES = {"cpu": 64, "cuda": 4096}
CLASS = 1024  # features of one class, at most: more of them take as long each
BATCH = 128  # likewise, of each network
TOGETHER = 10  # networks on a GPU, as where the gain below was measured


@dataclass(frozen=True)
class Gain:
    """How many times as fast the two sides of a distillation step and an update of a network become."""

    real: float
    decoded: float
    training: float


NONE = Gain(1, 1, 1)
NATIVE = Gain(2.6, 3.6, 3.6)  # ConvNet-3 on an AMD EPYC (Zen 4), with the native kernels and without them
COMPILED = Gain(1.85, 1.85, 1.85)  # ConvNet-3 on a CPU (`_worth_compiling` of the engine); others gain nothing there
COMPILED_ON_GPU = Gain(3.5, 3.5, 3.8)  # H200, ConvNet-3: 313 to 90 ms a step, 67,000 to 253,000 images/s in training

# Settings that the time of an image in a step depends on.
_OF_A_STEP = {
    *("ipc", "factor", "frequencies", "matching", "alpha", "normalize_features", "cutout", "calibration"),
    *("sampling_network", "classes_at_once", "images_at_once"),
}
_measured: dict[tuple[object, ...], float] = {}


def real_rate(architecture: Architecture, recipe: DistillationRecipe, engine: Engine) -> float:
    """Return the real images a second of a step: augmentation, features and statistics."""

    def measure(engine: Engine) -> float:
        step = _Step(architecture, recipe, engine)
        features = _seconds(step.features, engine) / step.settings.images_at_once
        return 1 / (features + _seconds(step.statistics, engine) / step.of_a_class)

    sizes = (recipe.real_batch, *_sizes(recipe))
    return _rate("real", architecture, sizes, engine, measure) * _gain(architecture, engine).real


def decoded_rate(architecture: Architecture, recipe: DistillationRecipe, engine: Engine) -> float:
    """Return the decoded images a second of a step: forward and backward, in both networks if it calibrates."""

    def measure(engine: Engine) -> float:
        step = _Step(architecture, recipe, engine)
        return step.settings.decoded_at_once / _seconds(step.decoded, engine)

    return _rate("decoded", architecture, _sizes(recipe), engine, measure) * _gain(architecture, engine).decoded


def trained_rate(architecture: Architecture, batch_size: int, engine: Engine) -> float:
    """Return the images a second of training, of several networks at once on a GPU."""
    size = min(batch_size, images_within(BATCH, architecture.resolution), _limit(IMAGES, architecture, engine))

    def measure(engine: Engine) -> float:
        network, image = build_network(architecture), (architecture.channels, *2 * (architecture.resolution,))
        count = networks_at_once(network, image, size, TOGETHER, engine, Silent())
        trainer = TogetherTrainer(network, engine) if count > 1 else Trainer(network, engine)
        module = trainer.load([build_network(architecture).state_dict()] * count)
        optimizer = make_optimizer(module, "adamw", lr=1e-3, weight_decay=0.0)
        batches = _batches(architecture, count * size, engine.device)

        def update() -> None:
            images, targets = next(batches)
            if count > 1:
                images, targets = images.unflatten(0, (count, size)), targets.unflatten(0, (count, size))
            trainer.fit([(images, targets)], optimizer, lambda update: 1e-3)

        return count * size / _seconds(update, engine)

    return _rate("trained", architecture, size, engine, measure) * _gain(architecture, engine).training


class _Step:
    """The two sides of a step, each on as many images as it takes at once."""

    def __init__(self, architecture: Architecture, recipe: DistillationRecipe, engine: Engine):
        device, self.engine = engine.device, engine

        def normalised(images: torch.Tensor) -> torch.Tensor:
            return normalise(images, architecture)

        limit = _limit(IMAGES, architecture, engine)
        stored = _stored_images(recipe, architecture.classes, limit)
        decoded = stored[0] * stored[1] * recipe.factor**2
        self.settings = StepSettings(
            objective_on(engine, recipe),
            normalised,
            classes=architecture.classes,
            calibration=recipe.calibration,
            factor=recipe.factor,
            normalize_features=recipe.normalize_features,
            images_at_once=min(limit, recipe.images_at_once or limit),
            decoded_at_once=decoded,
            ascends="ncfd" if recipe.sampling_network else None,
        )
        built = build_network(architecture)
        self._network = FrozenNetwork(built, engine, normalised)
        self._weights = self._network.placed(built.state_dict())
        self._augmentation = [
            _augmentation(count, architecture.resolution, recipe.cutout, device)
            for count in (self.settings.images_at_once, decoded)
        ]
        self._images = _images(self.settings.images_at_once, architecture, device)
        self._stored = _images(stored[0] * stored[1], architecture, device).float() / 255
        self._labels = torch.zeros(decoded, dtype=torch.int64, device=device)
        dimension, draws = _features(architecture), torch.Generator(device).manual_seed(0)
        self._frequencies = normal_frequencies(recipe.frequencies, dimension, 1.0, draws)
        features = torch.randn(stored[0], 2, dimension, device=device)
        self._known = self.settings.objective.statistics(features, self._frequencies)
        self.of_a_class = min(recipe.real_batch, CLASS)
        self._class = torch.randn(self.of_a_class, dimension, device=device)

    def features(self) -> torch.Tensor:
        """Compute the features of one pass of real images."""
        of_real = self._network.bind_real(self._weights)
        with self.engine.at_work():
            return real_features(self._draw(), of_real, self.settings)

    def statistics(self) -> torch.Tensor:
        """Compute the statistics of the features of one class's real images."""
        with self.engine.at_work():
            return self.settings.objective.statistics(self._class, self._frequencies)

    def decoded(self) -> None:
        """Compute losses and gradients of one unit, with the statistics of the real side given."""
        of_synthetic = self._network.bind(self._weights, full_precision=True)
        both = (self._network.bind_real(self._weights), of_synthetic)
        with self.engine.at_work():
            unit_step(
                self._stored,
                self._labels,
                self._draw(),
                self._frequencies,
                both,
                of_synthetic,
                self.settings,
                self._known,
            )

    def _draw(self) -> UnitDraw:
        return UnitDraw(self._images, (len(self._images),), *self._augmentation)


def _stored_images(recipe: DistillationRecipe, classes: int, limit: int) -> tuple[int, int]:
    """Return classes and stored images of each in the unit to time: the run's, with decoded images within `limit`."""
    assert recipe.ipc is not None
    ipc = min(recipe.ipc, max(1, limit // recipe.factor**2))
    chosen = choose_classes_at_once(classes, ipc * recipe.factor**2, limit)
    return min(recipe.classes_at_once or chosen, chosen), ipc


def _limit(at_32_px: dict[str, int], architecture: Architecture, engine: Engine) -> int:
    return images_within(at_32_px.get(engine.device.type, at_32_px["cpu"]), architecture.resolution)


def _sizes(recipe: DistillationRecipe) -> tuple[object, ...]:
    return tuple(sorted(recipe.model_dump(include=_OF_A_STEP).items()))


def _rate(
    what: str, architecture: Architecture, sizes: object, engine: Engine, measure: Callable[[Engine], float]
) -> float:
    """Return what `measure` found for such work, or finds now."""
    timed = _as_timed(engine)
    key = (what, architecture, sizes, timed.device, timed.precision, timed.native, torch.get_num_threads())
    if key not in _measured:
        with _aside(engine.device):
            _measured[key] = measure(timed)
    return _measured[key]


def _as_timed(engine: Engine) -> Engine:
    """Return the engine without what would first have to be compiled or built."""
    return replace(engine, compiled=False, native=engine.native and native_built())


def _gain(architecture: Architecture, engine: Engine) -> Gain:
    """Return what compiling or building brings that a run will do and the timing has not done."""
    with torch.device("meta"):
        network = build_network(architecture)
    if engine.native and isinstance(network, ConvNet) and network.is_standard:
        return NONE if _as_timed(engine).native else NATIVE
    if engine.fuses:
        return COMPILED_ON_GPU
    return COMPILED if engine.compiled and isinstance(network, ConvNet) else NONE


@contextmanager
def _aside(device: torch.device) -> Iterator[None]:
    """Leave torch's random state as it was, and the memory of a GPU free."""
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        if device.type == "cuda":
            clear_device_cache(garbage_collection=True)


def _seconds(work: Callable[[], object], engine: Engine) -> float:
    def call() -> None:
        work()
        if engine.device.type == "cuda":
            torch.cuda.synchronize(engine.device)

    return seconds_a_call(call)


def _batches(architecture: Architecture, count: int, device: torch.device) -> Iterator[Batch]:
    """Yield one batch again and again, normalised and augmented anew each time."""
    images, drawn = _images(count, architecture, device), _augmentation(count, architecture.resolution, False, device)
    labels = torch.arange(count, device=device) % architecture.classes
    targets = F.one_hot(labels, architecture.classes).float()
    while True:
        yield augment(normalise(images, architecture), drawn), targets


def _images(count: int, architecture: Architecture, device: torch.device) -> torch.Tensor:
    """Draw random images, uint8 (N, c, H, W)."""
    shape = (count, architecture.channels, architecture.resolution, architecture.resolution)
    return torch.randint(256, shape, dtype=torch.uint8, device=device)


def _augmentation(count: int, resolution: int, cutout: bool, device: torch.device) -> Augmentation:
    places = torch.arange(count, device=device)
    random = Stream(key_of(0, "timing"), places)
    geometry = places % len(GEOMETRIES)
    return draw_augmentation(random, (resolution, resolution), geometry=geometry, flip=True, cutout=cutout)


def _features(architecture: Architecture) -> int:
    """Return the number of features of a network."""
    with torch.device("meta"):
        network = FeaturesAndLogits(build_network(architecture)).eval()
        x = torch.zeros(1, architecture.channels, architecture.resolution, architecture.resolution)
    return int(network(x)[0].shape[1])
