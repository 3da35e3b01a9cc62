"""Native kernels as operators of torch: what they refuse, and that they work with autograd and torch.compile."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ncfm_hub.errors import NativeError
from ncfm_hub.machine import native
from ncfm_hub.machine.kernels import blocks, characteristic, winograd

pytestmark = pytest.mark.usefixtures("compiler")

Operator = Callable[..., Any]


def made(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def as_images(*shape: int) -> torch.Tensor:
    return made(*shape).contiguous(memory_format=torch.channels_last)


C, O = (5,), (64,)  # noqa: E741
AFFINE_OF_C, AFFINE_OF_O = {"weight": made(*C), "bias": made(*C)}, {"weight": made(*O), "bias": made(*O)}
FIRST = {"x": as_images(2, 3, 6, 4), "kernel": made(64, 3, 3, 3), **AFFINE_OF_O}
POOL = {"x": as_images(2, 5, 6, 4), **AFFINE_OF_C}
OPERATORS: dict[str, tuple[Operator, dict[str, Any], dict[str, Any]]] = {  # with tensors by name, and other values
    "winograd": (winograd.convolution, {"x": made(2, 5, 6, 4), "weight": made(7, 5, 3, 3)}, {}),
    "weight": (winograd.weight_gradient, {"gradient": made(2, 7, 6, 4), "x": made(2, 5, 6, 4)}, {}),
    "pool": (blocks.pool_forward, POOL, {"epsilon": 1e-5}),
    "pool back": (
        blocks.pool_backward,
        {"gradient": as_images(2, 5, 3, 2), **POOL, "mean": made(2, 5), "inverse": made(2, 5)},
        {},
    ),
    "first": (blocks.first_forward, FIRST, {"epsilon": 1e-5}),
    "first back": (
        blocks.first_backward,
        {"gradient": as_images(2, 64, 3, 2), **FIRST, "mean": made(2, 64), "inverse": made(2, 64)},
        {"wants_x": True, "wants_kernel": True},
    ),
    "input tiles": (winograd.input_tiles, {"x": made(2, 5, 6, 4)}, {}),
    "characteristic": (
        characteristic.characteristic,
        {"features": made(2, 4, 6), "frequencies": made(9, 6)},
        {},
    ),
    "gradient tiles": (winograd.output_gradient_tiles, {"gradient": made(2, 5, 6, 4)}, {}),
}
EACH = [(name, tensor) for name, (_, tensors, _) in OPERATORS.items() for tensor in tensors]
WRONG: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], type[Exception], str]] = {
    "double": (torch.Tensor.double, TypeError, "expected a float32 tensor, found torch.float64"),
    "meta": (lambda tensor: tensor.to("meta"), ValueError, "expected a tensor on the CPU, found one on meta"),
    "flat": (torch.Tensor.flatten, ValueError, "expected shape"),
    "one more": (lambda tensor: tensor[None], ValueError, "expected shape"),
}


def call(name: str, **changed: torch.Tensor) -> None:
    operator, tensors, values = OPERATORS[name]
    operator(**tensors | changed, **values)


@pytest.mark.parametrize("name", OPERATORS)
def test_right_tensors_are_taken(name: str) -> None:
    call(name)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("name", "tensor"), EACH)
def test_wrong_tensors_are_refused(name: str, tensor: str, wrong: str) -> None:
    change, error, message = WRONG[wrong]
    given = OPERATORS[name][1][tensor]
    if wrong == "flat" and given.ndim == 1:
        change = lambda one: one[:-1]  # noqa: E731
    with pytest.raises(error, match=message):
        call(name, **{tensor: change(given)})


@pytest.mark.parametrize(("name", "tensor"), [pair for pair in EACH if len(OPERATORS[pair[0]][1]) > 1])
def test_each_size_is_checked_against_the_others(name: str, tensor: str) -> None:
    """A channel less (of the weight's gradient an image less), which would be read all the same."""
    given = OPERATORS[name][1][tensor]
    along = {"weight": 0, "characteristic": -1}.get(name, min(1, given.ndim - 1))
    with pytest.raises(ValueError, match="expected"):
        call(name, **{tensor: given.narrow(along, 0, given.shape[along] - 1)})


@pytest.mark.parametrize(
    ("name", "tensor"), [pair for pair in EACH if pair[1] in ("bias", "mean", "inverse", "features", "frequencies")]
)
def test_memory_in_another_order_is_refused(name: str, tensor: str) -> None:
    given = OPERATORS[name][1][tensor]
    with pytest.raises(ValueError, match="found strides"):
        call(name, **{tensor: torch.stack([given, given], -1)[..., 0]})


def test_sizes_that_no_kernel_is_for_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 channel and 2 x 2 pixels"):
        call("pool", x=made(2, 5, 1, 4))
    with pytest.raises(ValueError, match="1 to 3 channels and a multiple of 64"):
        call("first", x=made(2, 4, 6, 4), kernel=made(64, 4, 3, 3))
    with pytest.raises(ValueError, match="1 to 3 channels and a multiple of 64"):
        call("first", kernel=made(65, 3, 3, 3))
    with pytest.raises(ValueError, match="at least 1 channel and 1 x 1 pixels"):
        call("input tiles", x=made(2, 5, 0, 4))


def test_without_a_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "native_library", lambda source: None)
    with pytest.raises(NativeError, match=r"winograd.cpp cannot be built here; install g\+\+ or clang\+\+"):
        call("winograd")


@pytest.mark.parametrize("name", ["winograd", "weight", "pool", "pool back", "first", "first back", "characteristic"])
def test_they_are_operators_as_torch_wants_them(name: str) -> None:
    """Schema, autograd, fake implementation, and the two together in torch.compile's tracing."""
    operator, tensors, values = OPERATORS[name]
    differentiable = name in ("winograd", "pool", "first")
    given = {key: tensor.clone().requires_grad_(differentiable) for key, tensor in tensors.items()}
    torch.library.opcheck(operator, (), given | values)  # type: ignore[arg-type]


def test_they_trace_whole_and_keep_their_gradients() -> None:
    x, weight = made(2, 5, 6, 4).requires_grad_(), made(7, 5, 3, 3)
    affine = made(7), made(7)

    def block(x: torch.Tensor) -> torch.Tensor:
        return blocks.norm_relu_pool(winograd.convolution(x, weight), *affine, 1e-5)

    traced = torch.compile(block, backend="aot_eager", fullgraph=True)
    found, expected = (torch.autograd.grad(way(x).square().sum(), x)[0] for way in (traced, block))
    assert torch.equal(found, expected)
