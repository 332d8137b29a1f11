"""Selecting by bits: what torch.where gives, and its gradient, to the last bit."""

from math import inf, nan

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lossmith.kernels.blocks import by_blocks
from lossmith.kernels.select import ByBits

VALUES = [0.0, -0.0, 1.0, -1.0, 2.5, 1e-45, -3e38, inf, -inf, nan]
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])


def same(found: Tensor, want: Tensor) -> None:
    assert found.dtype == want.dtype
    assert found.shape == want.shape
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[want.element_size()]
    assert torch.equal(found.contiguous().view(bits), want.contiguous().view(bits))


def both(function, *xs: Tensor) -> None:
    """A function gives the same, and has the same gradients, where bits are selected and where not."""
    found = []
    for bits in (False, True):
        leaves = [x.clone().requires_grad_() for x in xs]
        if bits:
            with ByBits():
                value = function(*leaves)
        else:
            value = function(*leaves)
        above = torch.linspace(-2, 3, value.numel(), dtype=value.dtype).reshape(value.shape)
        found.append((value, *torch.autograd.grad(value, leaves, above)))
    for mine, want in zip(*reversed(found), strict=True):
        same(mine, want)


@dtypes
def test_where_of_every_pair(dtype):
    x = torch.tensor(VALUES, dtype=dtype)
    both(lambda x, y: torch.where(x.isfinite(), x[:, None], y), x, x.flip(0))
    both(lambda x, y: torch.where(x < y, x, y), x.repeat(len(x)), x.repeat_interleave(len(x)))


@dtypes
def test_where_beside_numbers_and_what_is_spread(dtype):
    x = torch.tensor(VALUES, dtype=dtype)
    both(lambda x: torch.where(x > 0, x, 0.1), x)
    both(lambda x: torch.where(x > 0, -2, x), x)
    both(lambda x: torch.where(x[:, None] > 0, x, x[0]), x)
    both(lambda x, y: torch.where(x > 0, x, y), x, torch.tensor(0.1, dtype=dtype))
    both(lambda x: torch.where(x > 0, 1.0, 0.0) * x, x)


def test_dtypes_that_meet_are_torchs_business():
    x = torch.tensor(VALUES)
    both(lambda x: torch.where(x > 0, x, x.double()), x)
    both(lambda x: torch.where(x > 0, x, torch.tensor(1)), x)


def test_what_is_no_case_for_bits():
    x = torch.tensor(VALUES)
    both(lambda x: torch.where(x > 0, input=x, other=-x), x)
    both(lambda x: torch.func.vmap(lambda one: torch.where(one > 0, one * one, -one))(x), x)
    both(lambda x: torch.func.grad(lambda one: torch.where(one > 0, one * one, -one).sum())(x) * x, x)
    both(lambda x: torch.where(x > 0, x, torch.complex(x, x).conj().imag), x)
    both(lambda x: torch.complex(torch.where(x > 0, x, 0.5), x).conj().imag * x, x)
    with pytest.raises(RuntimeError, match="overflow"), ByBits():
        torch.where(x > 0, x, 1e39)
    with pytest.raises(RuntimeError, match="boolean"), ByBits():
        torch.where((x > 0).long(), x, 0.0)


def test_a_checkpoint_in_a_formula():
    def evaluate(x: Tensor, rows: slice) -> tuple[Tensor, None]:
        return checkpoint(lambda x: torch.where(x > 0, x * x, -x), x, use_reentrant=False), None

    x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    value, _ = by_blocks(evaluate, x, 3)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert slope.tolist() == [-1, 4, 6]


def test_a_formula_of_its_own_gradient():
    def slope(x: Tensor) -> Tensor:
        value = torch.where(x > 1, x**3, x**4) + x**2
        return torch.autograd.grad(value.sum(), x, create_graph=True)[0]

    both(slope, torch.tensor([-0.5, 0.5, 0.8, 2.0, 3.0]))


def test_blocks_select_so_and_leave_nothing_behind():
    seen = []

    def evaluate(x: Tensor, rows: slice) -> tuple[Tensor, None]:
        value = torch.where(x > 0, x, 0.0)
        seen.append(type(value.grad_fn).__name__)
        return value, None

    by_blocks(evaluate, torch.randn(9, requires_grad=True), 9)
    evaluate(torch.randn(9, requires_grad=True), slice(None))
    assert seen == ["_WhereBackward", "WhereBackward0"]
