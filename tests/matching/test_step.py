"""Losses and gradients of a unit against a float64 oracle, and what they must not depend on."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from ncfm_hub.extractors.pool import blend
from ncfm_hub.machine.engine import Engine, open_engine
from ncfm_hub.matching.augment import GEOMETRIES, Augmentation, draw_augmentation
from ncfm_hub.matching.frequencies import normal_frequencies
from ncfm_hub.matching.objective import Characteristic
from ncfm_hub.matching.philox import Stream, key_of
from ncfm_hub.matching.step import StepSettings, UnitDraw, UnitResult, real_statistics, unit_step
from ncfm_hub.networks.build import Architecture, Weights, normalise
from ncfm_hub.networks.convnet import ConvNet
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.utils.seeding import generator
from tests import oracle
from tests.matching.tiny import plain_engine, tiny_source

SIZE, IPC, FACTOR, FREQUENCIES, WIDTH = 16, 2, 2, 48, 12
CLASSES = 3
ARCHITECTURE = Architecture("tests", CLASSES, 3, SIZE, (0.5, 0.45, 0.4), (0.25, 0.2, 0.3))


def step_settings(alpha: float, **changes: Any) -> StepSettings:
    usual = StepSettings(
        Characteristic(alpha),
        lambda x: normalise(x, ARCHITECTURE),
        classes=CLASSES,
        calibration=5.0,
        factor=FACTOR,
        normalize_features=True,
        images_at_once=8,
        decoded_at_once=64,
    )
    return replace(usual, **changes)


def join(parts: list[Augmentation]) -> Augmentation:
    """The parameters of several groups of images as those of one."""
    colours = [part.colour for part in parts if part.colour is not None]
    cutouts = [part.cutout for part in parts if part.cutout is not None]
    return Augmentation(torch.cat([part.affine for part in parts]), torch.cat(colours), torch.cat(cutouts))


def frozen(network: torch.nn.Module, engine: Engine) -> FrozenNetwork:
    return FrozenNetwork(network, engine, lambda images: normalise(images, ARCHITECTURE))


@dataclass(frozen=True)
class Case:
    """Draws and weights of one step over all classes, each class drawn by itself."""

    stored: torch.Tensor  # (C n, c, H, W)
    draws: list[UnitDraw]  # one a class
    frequencies: torch.Tensor
    hybrid: Weights
    trained: Weights
    network: FrozenNetwork

    def unit(self, classes: range, alpha: float = 0.5, known: torch.Tensor | None = None, **changes: Any) -> UnitResult:
        """The package's step for a run of classes."""
        parts = [self.draws[c] for c in classes]
        draw = UnitDraw(
            torch.cat([part.real for part in parts]),
            tuple(size for part in parts for size in part.sizes),
            join([part.real_augmentation for part in parts]),
            join([part.synthetic_augmentation for part in parts]),
        )
        return unit_step(
            self.stored[classes[0] * IPC : (classes[-1] + 1) * IPC],
            torch.tensor(classes).repeat_interleave(IPC * FACTOR**2),
            draw,
            self.frequencies,
            (self.network.bind_real(self.hybrid), self.network.bind(self.hybrid, full_precision=True)),
            self.network.bind(self.trained, full_precision=True),
            step_settings(alpha, **changes),
            known,
        )

    def oracle(
        self, *, alpha: float = 0.5, calibration: float = 5.0, normalize_features: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(NCFD (C,), cross-entropy (C,), pixel gradient, frequency gradient) of all classes, in float64."""
        stored = [part.double().requires_grad_() for part in self.stored.split(IPC)]
        t = self.frequencies.double().requires_grad_()
        draws = [
            oracle.ClassDraw(
                one.real,
                oracle.SideDraw(
                    one.real_augmentation.affine, one.real_augmentation.colour, one.real_augmentation.cutout
                ),
                oracle.SideDraw(
                    one.synthetic_augmentation.affine,
                    one.synthetic_augmentation.colour,
                    one.synthetic_augmentation.cutout,
                ),
            )
            for one in self.draws
        ]
        distances, entropies, objective = oracle.step(
            stored,
            draws,
            t,
            self.hybrid,
            self.trained,
            ARCHITECTURE.mean,
            ARCHITECTURE.std,
            alpha=alpha,
            calibration=calibration,
            factor=FACTOR,
            normalize_features=normalize_features,
        )
        gradients = torch.autograd.grad(objective, [*stored, t])
        return (
            torch.stack(distances).detach(),
            torch.stack(entropies).detach(),
            torch.cat(gradients[:-1]),
            gradients[-1],
        )


def make_case(geometries: tuple[str, ...] = GEOMETRIES, width: int = WIDTH, real: int = 11) -> Case:
    source = tiny_source(per_class=real, classes=CLASSES, size=SIZE)
    draws = []
    for c, rows in enumerate(source.class_indices()):
        some = rows[: real - 2 * c]  # classes of unequal size
        sides = [
            draw_augmentation(
                Stream(key_of(side, "case"), torch.arange(count), c),
                (SIZE, SIZE),
                geometry=GEOMETRIES.index(geometries[c]),
                flip=True,
            )
            for side, count in enumerate((len(some), IPC * FACTOR**2))
        ]
        draws.append(UnitDraw(source.train.images[some], (len(some),), sides[0], sides[1]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        pair = tuple(ConvNet(CLASSES, 3, SIZE, width=width).state_dict() for _ in range(2))
        for weights in pair:  # fresh affine weights are ones and zeros, which would hide errors
            for name in weights:
                if weights[name].ndim == 1:
                    weights[name] += 0.2 * torch.randn(weights[name].shape)
        stored = torch.rand(CLASSES * IPC, 3, SIZE, SIZE)
    network = frozen(ConvNet(CLASSES, 3, SIZE, width=width), plain_engine())
    frequencies = normal_frequencies(FREQUENCIES, width * 4, 1.0, generator(0, "frequencies"))
    return Case(stored, draws, frequencies, blend((pair[0], pair[1]), 0.3), pair[1], network)


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case()


@pytest.mark.parametrize(
    ("alpha", "calibration", "normalize"), [(0.5, 5.0, True), (0.5, 0.0, True), (0.1, 1.0, True), (0.9, 5.0, False)]
)
def test_loss_and_gradients_are_the_oracle_s(case: Case, alpha: float, calibration: float, normalize: bool) -> None:
    distances, entropies, pixels, t = case.oracle(alpha=alpha, calibration=calibration, normalize_features=normalize)
    found = case.unit(
        range(CLASSES),
        alpha=alpha,
        calibration=calibration,
        normalize_features=normalize,
        ascends="ncfd",
    )
    torch.testing.assert_close(found.ncfd.double(), distances, rtol=1e-5, atol=0)
    if calibration:
        torch.testing.assert_close(found.cross_entropy.double(), entropies, rtol=1e-5, atol=0)
    else:
        assert (found.cross_entropy == 0).all()
    assert found.frequency_gradient is not None
    for mine, expected in ((found.pixel_gradient, pixels), (found.frequency_gradient, t)):
        assert mine.shape == expected.shape
        assert oracle.cosine(mine, expected) >= 1 - 1e-6
        assert mine.double().norm().item() == pytest.approx(expected.norm().item(), rel=1e-4)


def test_every_class_matches_by_itself(case: Case) -> None:
    """The cosine over all pixels could hide a small class; per class it cannot."""
    _, _, pixels, _ = case.oracle()
    found = case.unit(range(CLASSES))
    for mine, expected in zip(found.pixel_gradient.split(IPC), pixels.split(IPC), strict=True):
        assert oracle.cosine(mine, expected) >= 1 - 1e-6


def test_a_unit_depends_on_no_other_unit(case: Case) -> None:
    whole = case.unit(range(CLASSES), ascends="ncfd")
    for units in ([range(0, 1), range(1, 2), range(2, 3)], [range(0, 2), range(2, 3)]):
        parts = [case.unit(unit, ascends="ncfd") for unit in units]
        torch.testing.assert_close(torch.cat([p.ncfd for p in parts]), whole.ncfd, rtol=1e-5, atol=0)
        torch.testing.assert_close(torch.cat([p.cross_entropy for p in parts]), whole.cross_entropy, rtol=1e-5, atol=0)
        assert oracle.cosine(torch.cat([p.pixel_gradient for p in parts]), whole.pixel_gradient) >= 1 - 1e-6
        assert whole.frequency_gradient is not None
        total = sum(p.frequency_gradient for p in parts if p.frequency_gradient is not None)
        assert isinstance(total, torch.Tensor)
        assert oracle.cosine(total, whole.frequency_gradient) >= 1 - 1e-6


@pytest.mark.parametrize("images_at_once", [1, 5, 27, 64])
def test_the_size_of_real_passes_does_not_matter(case: Case, images_at_once: int) -> None:
    """27 real images in all; 64 is more than there are, so that zeros fill the pass."""
    whole = case.unit(range(CLASSES))
    found = case.unit(range(CLASSES), images_at_once=images_at_once)
    torch.testing.assert_close(found.ncfd, whole.ncfd, rtol=1e-5, atol=0)
    assert oracle.cosine(found.pixel_gradient, whole.pixel_gradient) >= 1 - 1e-6


def test_calibration_and_discrepancy_add_up(case: Case) -> None:
    pure, both = case.unit(range(CLASSES), calibration=0.0), case.unit(range(CLASSES), calibration=5.0)
    double = case.unit(range(CLASSES), calibration=10.0)
    assert torch.equal(pure.ncfd, both.ncfd)
    entropy_part = both.pixel_gradient - pure.pixel_gradient
    error = double.pixel_gradient - pure.pixel_gradient - 2 * entropy_part
    assert error.norm() <= 1e-6 * double.pixel_gradient.norm()  # each of them is rounded to fp32


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("images_at_once", [5, 24])
@pytest.mark.parametrize("form", ["native", "compiled"])
@pytest.mark.parametrize("width", [12, 64])
def test_fast_forms_of_the_network_are_the_oracle_s(
    width: int, form: str, images_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C++ of ours and torch.compile; width 64 has the whole first block in C++, 12 the parts around convolutions."""
    case = make_case(width=width)
    if form == "compiled":
        monkeypatch.setattr("ncfm_hub.networks.frozen.run_natively", lambda network: False)
    inner = ConvNet(CLASSES, 3, SIZE, width=width)
    network = frozen(inner, open_engine("fp32", "on"))
    assert inner.native == (form == "native")
    distances, entropies, pixels, t = case.oracle()
    found = replace(case, network=network).unit(range(CLASSES), images_at_once=images_at_once, ascends="ncfd")
    torch.testing.assert_close(found.ncfd.double(), distances, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.cross_entropy.double(), entropies, rtol=1e-5, atol=0)
    assert found.frequency_gradient is not None
    for mine, expected in ((found.pixel_gradient, pixels), (found.frequency_gradient, t)):
        assert oracle.cosine(mine, expected) >= 1 - 1e-6


@pytest.mark.parametrize("decoded_at_once", [1, 5, 8, 24, 100])
def test_the_synthetic_side_in_passes_has_the_same_gradients(case: Case, decoded_at_once: int) -> None:
    """24 decoded images: one pass, several, a last one that is not full, and more room than images."""
    usual = case.unit(range(CLASSES), decoded_at_once=24, ascends="ncfd")
    found = case.unit(range(CLASSES), decoded_at_once=decoded_at_once, ascends="ncfd")
    torch.testing.assert_close(found.ncfd, usual.ncfd, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.cross_entropy, usual.cross_entropy, rtol=1e-6, atol=1e-7)
    assert usual.frequency_gradient is not None
    assert found.frequency_gradient is not None
    assert oracle.cosine(found.pixel_gradient, usual.pixel_gradient) >= 1 - 1e-9
    assert oracle.cosine(found.frequency_gradient, usual.frequency_gradient) >= 1 - 1e-9


def test_a_pass_of_the_synthetic_side_holds_no_more_images_than_it_may(case: Case) -> None:
    counts: list[int] = []
    bind = case.network.bind

    class Counting(FrozenNetwork):
        def bind(self, weights: Weights, full_precision: bool = False) -> Any:
            forward = bind(weights, full_precision)

            def counted(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                counts.append(len(x))
                return forward(x)

            return counted

    network = Counting(ConvNet(CLASSES, 3, SIZE, width=WIDTH), plain_engine(), lambda x: normalise(x, ARCHITECTURE))
    replace(case, network=network).unit(range(CLASSES), decoded_at_once=7)
    assert set(counts) == {7}
    assert len(counts) == 2 * 2 * 4  # hybrid and trained extractor, forward and again on the way back


@pytest.mark.slow
@pytest.mark.parametrize(("compile_", "images_at_once"), [("off", 24), ("on", 5)])
def test_bf16_stays_close_to_the_oracle(compile_: str, images_at_once: int) -> None:
    """bf16 is of the real side alone: the loss keeps two digits, the gradient its direction to less than a degree.

    Of real batches as large as in use: rounding errors of single images have to average out.
    """
    case = make_case(width=64, real=300)
    engine = open_engine("bf16", compile_)
    assert engine.precision == "bf16"
    network = frozen(ConvNet(CLASSES, 3, SIZE, width=64), engine)
    distances, entropies, pixels, _ = case.oracle()
    found = replace(case, network=network).unit(range(CLASSES), images_at_once=images_at_once)
    torch.testing.assert_close(found.ncfd.double(), distances, rtol=1e-2, atol=0)
    torch.testing.assert_close(found.cross_entropy.double(), entropies, rtol=1e-5, atol=0)
    assert oracle.cosine(found.pixel_gradient, pixels) >= 0.9999
    only_matching = replace(case, network=network).unit(range(CLASSES), calibration=0.0)
    assert oracle.cosine(only_matching.pixel_gradient, case.oracle(calibration=0.0)[2]) >= 0.9999


def test_fp16_of_the_real_side_stays_as_close() -> None:
    """Which is what GPUs without bf16 compute in."""
    case = make_case(width=64)
    network = frozen(ConvNet(CLASSES, 3, SIZE, width=64), replace(plain_engine(), precision="fp16"))
    distances, entropies, pixels, _ = case.oracle()
    found = replace(case, network=network).unit(range(CLASSES))
    assert not torch.equal(
        found.ncfd,
        replace(case, network=frozen(ConvNet(CLASSES, 3, SIZE, width=64), plain_engine())).unit(range(CLASSES)).ncfd,
    )
    torch.testing.assert_close(found.ncfd.double(), distances, rtol=1e-3, atol=0)
    torch.testing.assert_close(found.cross_entropy.double(), entropies, rtol=1e-5, atol=0)
    assert oracle.cosine(found.pixel_gradient, pixels) >= 0.9999


def test_statistics_that_are_known_take_the_place_of_real_images(case: Case) -> None:
    """As a bank hands them over: the same unit, whatever the draw says of real images."""
    draw = case.draws[1]
    known = real_statistics(
        draw,
        case.frequencies,
        case.network.bind_real(case.hybrid),
        step_settings(0.5),
    )
    assert known.shape == (1, 2 * FREQUENCIES)
    usual = case.unit(range(1, 2))
    none = replace(draw, real=draw.real[:0], sizes=(0,), real_augmentation=draw.real_augmentation[:0])
    without = [*case.draws]
    without[1] = none
    found = replace(case, draws=without).unit(range(1, 2), known=known)
    assert torch.equal(found.pixel_gradient, usual.pixel_gradient)
    assert torch.equal(found.ncfd, usual.ncfd)


def test_debiased_gradient_is_that_of_its_formula(case: Case) -> None:
    """In float64 from the oracle's features; the images' gradient stays that of the objective."""
    t = case.frequencies.double().requires_grad_()
    centre, deviation = (torch.tensor(v).double()[:, None, None] for v in (ARCHITECTURE.mean, ARCHITECTURE.std))
    total = torch.zeros((), dtype=torch.float64)
    for draw, stored in zip(case.draws, case.stored.split(IPC), strict=True):
        functions = []
        for images, side in (
            (draw.real.double() / 255, draw.real_augmentation),
            (oracle.decode(stored.double(), FACTOR), draw.synthetic_augmentation),
        ):
            seen = oracle.augment((images - centre) / deviation, oracle.SideDraw(side.affine, side.colour, side.cutout))
            features = oracle.unit_length(oracle.convnet(case.hybrid, seen)[0])
            functions.append((oracle.characteristic(features, t), len(features)))
        (real, n), (synthetic, m) = functions
        share = (1 - real.abs() ** 2) / (n - 1) + (1 - synthetic.abs() ** 2) / (m - 1)
        total = total + 300 / CLASSES * ((real - synthetic).abs() ** 2 - share).mean()
    (expected,) = torch.autograd.grad(total, t)
    found = case.unit(range(CLASSES), ascends="debiased")
    assert found.frequency_gradient is not None
    assert oracle.cosine(found.frequency_gradient, expected) >= 1 - 1e-6
    assert found.frequency_gradient.double().norm().item() == pytest.approx(expected.norm().item(), rel=1e-4)
    usual = case.unit(range(CLASSES))
    assert usual.frequency_gradient is None
    assert torch.equal(found.pixel_gradient, usual.pixel_gradient)


def test_pixel_gradient_agrees_with_finite_differences(case: Case) -> None:
    """The oracle's own gradient, so that it cannot share an error of autograd with the step."""
    _, _, pixels, _ = case.oracle()
    draws = torch.Generator().manual_seed(0)
    direction = torch.randn(case.stored.shape, generator=draws, dtype=torch.float64)
    direction /= direction.norm()

    def objective(shift: float) -> float:
        moved = replace(case, stored=case.stored.double() + shift * direction)
        distances, entropies, _, _ = moved.oracle()
        return float((300 * distances + 5 * entropies).sum() / CLASSES)

    slope = (objective(1e-5) - objective(-1e-5)) / 2e-5
    assert float((pixels * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_nothing_but_its_inputs_changes_a_unit(case: Case) -> None:
    """Same bits twice, and the stored images are left as they were."""
    before = case.stored.clone()
    first = case.unit(range(CLASSES))
    torch.rand(5)
    second = case.unit(range(CLASSES))
    assert torch.equal(first.pixel_gradient, second.pixel_gradient)
    assert torch.equal(case.stored, before)
    assert case.stored.grad is None
