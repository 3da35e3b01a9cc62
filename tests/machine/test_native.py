"""ConvNets in C++ of ours against torch's operations in float64: values and every gradient, in many shapes."""

import stat
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F

from ncfm_hub.machine.engine import open_engine
from ncfm_hub.machine.kernels.blocks import SOURCE as BLOCKS
from ncfm_hub.machine.kernels.blocks import first_block, norm_relu_pool
from ncfm_hub.machine.kernels.characteristic import fast_characteristic_function
from ncfm_hub.machine.kernels.winograd import SOURCE, convolution
from ncfm_hub.machine.native import is_built, native_library
from ncfm_hub.networks.convnet import ConvNet, run_natively
from ncfm_hub.networks.frozen import FrozenNetwork
from ncfm_hub.networks.trainer import Trainer
from tests import oracle

pytestmark = pytest.mark.usefixtures("compiler")


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def leaves(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def check_close(found: torch.Tensor | None, expected: torch.Tensor | None, within: float) -> None:
    """Largest error relative to the largest value."""
    assert found is not None
    assert expected is not None
    assert found.shape == expected.shape
    assert (found.double() - expected).abs().max() <= within * expected.abs().max()


@pytest.mark.parametrize(
    ("channels", "outputs", "size"),
    [
        (3, 5, (4, 4)),
        (16, 16, (8, 8)),
        (20, 33, (14, 7)),
        (1, 1, (1, 1)),
        (128, 128, (16, 16)),
        (7, 130, (5, 18)),
        (4, 6, (40, 41)),
    ],
)
@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_winograd_is_the_convolution_forward_and_back(
    channels: int, outputs: int, size: tuple[int, int], memory: torch.memory_format
) -> None:
    x, weight = random(3, channels, *size, seed=0), random(outputs, channels, 3, 3, seed=1)
    above = random(3, outputs, *size, seed=2)
    mine, theirs = leaves(x.to(memory_format=memory), weight), leaves(x.double(), weight.double())
    found = convolution(*mine)
    expected = F.conv2d(*theirs, padding=1)
    (found * above.to(memory_format=memory)).sum().backward()
    (expected * above).sum().backward()
    check_close(found, expected, 5e-6)
    for one, other in zip(mine, theirs, strict=True):
        check_close(one.grad, other.grad, 5e-6)


@pytest.mark.parametrize(
    ("sets", "samples", "dimension", "count", "scale"),
    [
        ((), 1, 1, 1, 1.0),
        ((3,), 7, 5, 3, 1.0),
        ((2, 2), 40, 257, 130, 0.1),
        ((), 2100, 300, 65, 0.2),  # more samples and features than go through at once
        ((), 5, 20, 70, 2e4),  # phases beyond those of the polynomials
    ],
)
def test_characteristic_functions_are_the_oracle_s(
    sets: tuple[int, ...], samples: int, dimension: int, count: int, scale: float
) -> None:
    features, frequencies = random(*sets, samples, dimension, seed=0), scale * random(count, dimension, seed=1)
    found = torch.complex(*fast_characteristic_function(features, frequencies))
    expected = [
        oracle.characteristic(z, frequencies.double()) for z in features.double().reshape(-1, samples, dimension)
    ]
    rounding = 2**-24 * (features.double() @ frequencies.double().T).abs().max()  # of the largest phase
    assert found.shape == (*sets, count)
    assert (found.reshape(-1, count) - torch.stack(expected)).abs().max() < 1e-6 + 4 * rounding


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none_in_a_characteristic_function(value: float) -> None:
    features, frequencies = random(30, 4, seed=0), random(70, 4, seed=1)
    features[7, 2] = value
    assert all(part.isnan().all() for part in fast_characteristic_function(features, frequencies))


def test_the_user_s_default_dtype_has_no_part_in_it() -> None:
    x, weight = random(2, 5, 6, 6, seed=0), random(7, 5, 3, 3, seed=1)
    expected, before = convolution(x, weight), torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert torch.equal(convolution(x, weight), expected)
    finally:
        torch.set_default_dtype(before)


def plain_norm_relu_pool(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """By torch's operations."""
    return F.avg_pool2d(F.relu(F.instance_norm(x, weight=weight, bias=bias, eps=1e-5)), 2)


@pytest.mark.parametrize(("channels", "size"), [(128, (16, 16)), (5, (7, 10)), (33, (2, 3))])
def test_norm_relu_and_pooling_forward_and_back(channels: int, size: tuple[int, int]) -> None:
    """Odd sizes: what pooling leaves out counts in the norm all the same."""
    x, weight, bias = random(4, channels, *size, seed=0), 1 + random(channels, seed=1), random(channels, seed=2)
    above = random(4, channels, size[0] // 2, size[1] // 2, seed=3)
    mine, theirs = leaves(5 + x, weight, bias), leaves((5 + x).double(), weight.double(), bias.double())
    found, expected = norm_relu_pool(*mine, 1e-5), plain_norm_relu_pool(*theirs)
    (found * above).sum().backward()
    (expected * above).sum().backward()
    check_close(found, expected, 1e-5)
    for one, other in zip(mine, theirs, strict=True):
        check_close(one.grad, other.grad, 1e-5)


@pytest.mark.parametrize(
    ("channels", "outputs", "size"), [(3, 128, (16, 16)), (1, 64, (28, 28)), (3, 64, (9, 6)), (2, 64, (3, 5))]
)
def test_the_first_block_forward_and_back(channels: int, outputs: int, size: tuple[int, int]) -> None:
    x, kernel = random(2, channels, *size, seed=0), random(outputs, channels, 3, 3, seed=1)
    weight, bias = 1 + 0.3 * random(outputs, seed=2), random(outputs, seed=3)
    above = random(2, outputs, size[0] // 2, size[1] // 2, seed=4)
    given = (x, kernel, weight, bias)
    mine, theirs = leaves(*given), leaves(*(tensor.double() for tensor in given))
    found = first_block(*mine, 1e-5)
    convolved = F.conv2d(theirs[0], theirs[1], padding=1)
    expected = plain_norm_relu_pool(convolved, theirs[2], theirs[3])
    (found * above).sum().backward()
    (expected * above).sum().backward()
    check_close(found, expected, 1e-5)
    for one, other in zip(mine, theirs, strict=True):
        check_close(one.grad, other.grad, 1e-4)  # a sum over few pixels, at whose ReLU a rounding may fall either way


@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_only_gradients_that_are_wanted_are_computed(wanted: tuple[bool, bool]) -> None:
    x, kernel = random(2, 3, 8, 8, seed=0), random(64, 3, 3, 3, seed=1)
    x.requires_grad_(wanted[0])
    kernel.requires_grad_(wanted[1])
    weight, bias = torch.ones(64), torch.zeros(64)
    first_block(x, kernel, weight, bias, 1e-5).sum().backward()
    assert (x.grad is not None, kernel.grad is not None) == wanted
    second = random(8, 64, 3, 3, seed=2).requires_grad_(wanted[1])
    maps = random(2, 64, 4, 4, seed=3).requires_grad_(wanted[0])
    convolution(maps, second).sum().backward()
    assert (maps.grad is not None, second.grad is not None) == wanted


@pytest.mark.parametrize(
    ("size", "channels", "depth", "width"), [(32, 3, 3, 128), (28, 1, 3, 64), (64, 3, 4, 64), (16, 3, 3, 12)]
)
def test_a_whole_network_is_the_oracle_s(size: int, channels: int, depth: int, width: int) -> None:
    with torch.random.fork_rng(devices=[]):
        # Of some ten sets of weights one has an activation so near zero that fp32, ours or torch's, rounds it to the
        # other side of ReLU, which turns a gradient of few images by a thousandth; this one has none.
        torch.manual_seed(0)
        network = ConvNet(5, channels, size, depth, width)
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.add_(0.2 * random(*parameter.shape, seed=number) * (parameter.ndim == 1))
    assert run_natively(network)
    x = random(2, channels, size, size, seed=99)
    mine = x.clone().requires_grad_()
    theirs = x.double().requires_grad_()
    logits = network(mine)
    _, expected = oracle.convnet(network.state_dict(), theirs)
    F.cross_entropy(logits, torch.tensor([1, 3])).backward()
    F.cross_entropy(expected, torch.tensor([1, 3])).backward()
    check_close(logits, expected.detach(), 1e-5)
    assert mine.grad is not None
    assert theirs.grad is not None
    assert oracle.cosine(mine.grad, theirs.grad) >= 1 - 1e-6


def test_results_do_not_depend_on_the_batch() -> None:
    """Each image by itself; products may add up in another order."""
    network = ConvNet(5, 3, 32)
    assert run_natively(network)
    x = random(5, 3, 32, 32, seed=0)
    with torch.no_grad():
        whole = network(x)
        torch.testing.assert_close(torch.cat([network(part) for part in x.split(2)]), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_trainer_and_the_frozen_network_use_it_where_the_engine_compiles() -> None:
    for compile_, expected in (("on", True), ("off", False)):
        engine = open_engine("fp32", compile_)
        trained, frozen = ConvNet(5), ConvNet(5)
        Trainer(trained, engine)
        FrozenNetwork(frozen, engine)
        assert (trained.native, frozen.native) == (expected, expected)
    reduced = ConvNet(5)
    Trainer(reduced, open_engine("bf16", "on"))
    assert not reduced.native


def test_training_is_as_precise_as_by_torch_s_operations() -> None:
    """Ten updates from one start: no further from the same in float64 than torch's fp32 is, give or take."""
    images, targets = random(16, 3, 16, 16, seed=0), F.one_hot(torch.arange(16) % 5, 5).float()

    def trained(compile_: str, dtype: torch.dtype) -> torch.Tensor:
        network = ConvNet(5, 3, 16, width=64)
        with torch.no_grad():
            for number, parameter in enumerate(network.parameters()):
                parameter.copy_(0.05 * random(*parameter.shape, seed=number))
        trainer = Trainer(network.to(dtype), open_engine("fp32", compile_))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        trainer.fit([(images.to(dtype), targets)] * 10, optimizer, lambda update: 0.05)
        assert network.native == (compile_ == "on")
        return torch.cat([value.detach().double().flatten() for value in network.parameters()])

    exact = trained("off", torch.float64)
    start = torch.cat(
        [0.05 * random(*p.shape, seed=n).flatten() for n, p in enumerate(ConvNet(5, 3, 16, width=64).parameters())]
    )
    ours, torch_s = (trained(compile_, torch.float32) for compile_ in ("on", "off"))
    moved = (exact - start).norm()
    assert moved > 0.05
    assert (ours - exact).norm() <= max(3 * (torch_s - exact).norm(), 1e-5 * moved)


def test_other_networks_are_left_alone() -> None:
    assert not run_natively(timm.create_model("resnet18", num_classes=5))


@pytest.mark.slow
def test_libraries_are_built_once_and_kept_unless_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))
    native_library.cache_clear()
    try:
        assert not is_built(BLOCKS)
        assert native_library(BLOCKS) is not None
        assert is_built(BLOCKS)
        assert not is_built(SOURCE)
        (made,) = (tmp_path / "native").iterdir()
        before = made.stat()
        native_library.cache_clear()
        assert native_library(BLOCKS) is not None
        (again,) = (tmp_path / "native").iterdir()
        assert (again.stat().st_ino, again.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        again.unlink()  # and not written over: it is mapped into this process
        again.write_bytes(b"cut short")
        assert not is_built(BLOCKS)
        native_library.cache_clear()
        assert native_library(BLOCKS) is not None
    finally:
        native_library.cache_clear()


def test_a_header_that_changed_is_another_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    source, header = tmp_path / "answer.cpp", tmp_path / "answer.h"
    source.write_text('#include "answer.h"\nextern "C" int answer() { return ANSWER; }\n')
    answers = []
    for number in (41, 42):
        header.write_text(f"#define ANSWER {number}\n")
        native_library.cache_clear()
        library = native_library(source)
        assert library is not None
        answers.append(library.answer())
    assert answers == [41, 42]


@pytest.mark.parametrize("why", ["no compiler", "one that fails", "no place"])
def test_what_cannot_be_built_is_done_without(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network falls back to torch.compile, or to torch's operations where that cannot be had either."""
    compiler, cache = tmp_path / "cxx", tmp_path / "cache"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", "no-such-compiler" if why == "no compiler" else str(compiler))
    if why == "no place":
        monkeypatch.delenv("CXX")
        cache.write_text("a file where the cache's folder would be")
    monkeypatch.setenv("NCFM_HUB_CACHE", str(cache))
    native_library.cache_clear()
    try:
        assert native_library(SOURCE) is None
        assert not is_built(SOURCE)
        network = ConvNet(5)
        assert not run_natively(network)
        assert not network.native
    finally:
        native_library.cache_clear()


def test_a_compiler_without_openmp_builds_for_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    """As on macOS, whose own compiler refuses the flag."""
    refusing = tmp_path / "cxx"
    refusing.write_text(f'#!/bin/sh\ncase "$*" in *-fopenmp*) exit 1;; esac\nexec {compiler} "$@"\n')
    refusing.chmod(refusing.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(refusing))
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    x, weight = random(2, 5, 6, 6, seed=0), random(7, 5, 3, 3, seed=1)
    native_library.cache_clear()
    try:
        check_close(convolution(x, weight), F.conv2d(x.double(), weight.double(), padding=1), 5e-6)
        (built,) = (tmp_path / "cache" / "native").iterdir()
        assert b"GOMP" not in built.read_bytes()
        assert b"omp_" not in built.read_bytes()
    finally:
        native_library.cache_clear()
