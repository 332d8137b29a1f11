"""`torch.where` without a branch per number, for as long as a block is being computed.

On a CPU torch decides number by number which of two to take, and where a mask follows no pattern the processor guesses
wrong half of the time: that takes as long as forty additions. The bits of the numbers can be taken by masks instead.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lossmith.kernels import eager

BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


class ByBits(TorchFunctionMode):
    """While it is entered, `torch.where` selects by bits: the same to the last of them, and so is its gradient."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.where and len(args) == 3 and not kwargs and _fits(*args):
            mask, *pair = args
            known = next(x for x in pair if isinstance(x, Tensor))
            pair = [x if isinstance(x, Tensor) else known.new_full((), x) for x in pair]
            return _Where.apply(mask, *pair)  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


def _fits(mask: Any, *pair: Any) -> bool:
    """Whether bits are all there is to it: plain tensors of one dtype, or one and a number.

    Not under a checkpoint, which computes outside of this mode what it then compares.
    """
    tensors = [x for x in pair if isinstance(x, Tensor)]
    plain = eager.fits(mask, *tensors) and eager.kept() and mask.dtype == torch.bool
    if not plain or any(x.is_neg() for x in tensors) or not all(isinstance(x, Tensor | int | float) for x in pair):
        return False
    return len({x.dtype for x in tensors}) == 1 and tensors[0].dtype in BITS


def _taken(x: Tensor, ones: Tensor) -> Tensor:
    """`x` where the bits are set, else 0; differentiable where this is a backward pass that is differentiated."""
    if not eager.once(x) or x.is_neg():
        return torch.where(ones != 0, x, 0.0)
    return (x.view(ones.dtype) & ones).view(x.dtype)


class _Where(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mask: Tensor, x: Tensor, y: Tensor) -> Tensor:
        bits = BITS[x.dtype]
        ones = mask.to(bits).neg_()  # all bits of the numbers to take from x
        ctx.save_for_backward(ones)
        ctx.shapes = x.shape, y.shape
        mine, other = x.view(bits), y.view(bits)
        return torch.bitwise_xor(mine, other).bitwise_and(ones).bitwise_xor_(other).view(x.dtype)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        (ones,), (_, x, y) = ctx.saved_tensors, ctx.needs_input_grad
        by_x = _taken(above, ones).sum_to_size(ctx.shapes[0]) if x else None
        return None, by_x, _taken(above, ~ones).sum_to_size(ctx.shapes[1]) if y else None
